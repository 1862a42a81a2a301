"""The texts that a command is asked about, from files by their endings or from standard input."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from research.data.sources import CSV, JSONLines, Parquet, Source, TextFiles
from research.data.sources.fields import columns, look_up, to_record
from research.data.sources.files import COMPRESSIONS
from research.errors import UserError, given_by

STDIN = "-"


def records(
    paths: Sequence[str], text: str, text_pair: str | None, encoding: str = "utf-8", option: str = "--input"
) -> Iterator[Any]:
    """The records of the files in their order, which an ``option`` names; ``-`` is standard input.

    Raises:
        UserError: naming the file and line of what is no text.
    """
    with given_by(option):
        for path in paths:
            yield from standard_input(text, text_pair) if path == STDIN else source_of(path, text, text_pair, encoding)


def source_of(path: str, text: str, text_pair: str | None, encoding: str, label: str | None = None) -> Source:
    """The source that reads a file of this ending; :func:`research.errors.given_by` says which option names it.

    Raises:
        UserError: for another ending.
    """
    name = path
    for compression in COMPRESSIONS[1:]:
        name = name.removesuffix(compression)
    if name.endswith(".txt"):
        if text_pair is not None or label is not None:
            what = "--text-pair" if label is None else "labels"
            raise UserError(f"paths: {path}: a .txt file has a text a line, and no {what}")
        return TextFiles(path, unit="line", encoding=encoding)
    if name.endswith((".jsonl", ".ndjson")):
        return JSONLines(path, text, text_pair, label, encoding=encoding)
    if name.endswith((".csv", ".tsv")):
        delimiter = "," if name.endswith(".csv") else "\t"
        return CSV(path, text, text_pair, label, delimiter=delimiter, encoding=encoding)
    if name.endswith(".parquet"):
        return Parquet(path, text, text_pair, label)
    raise UserError(f"paths: {path}: its ending is none of .txt, .jsonl, .csv, .tsv and .parquet")


def standard_input(text: str, text_pair: str | None) -> Iterator[Any]:
    """A record a line, which is a JSON object or the text itself; blank lines are passed over."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        where = f"<stdin>:{number}"
        try:
            content = line.decode().strip()
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8") from None
        if content.startswith("{"):
            row = _object(content, where)
            fields = columns(text, text_pair, None, None)
            yield to_record(where, {field: look_up(row, column, where) for field, column in fields.items()})
        elif content:
            yield {"text": content, "where": where}


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: begins with a brace, but is not JSON: {str(error).splitlines()[0]}") from None
    return row
