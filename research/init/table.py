"""A file of rows whose columns are not known yet, through the readers that training uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from research.data.sources import CSV, JSONLines, Parquet
from research.data.sources.files import COMPRESSIONS, FileSource
from research.data.sources.json_lines import objects
from research.errors import UserError

LOOKED_AT = 200_000  # rows at most; what follows is not read before training

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of a file, and what its source must be told to read them.

    ``settings`` are those of ``kind`` besides the columns. Columns without a header are named by their numbers from 0.
    """

    kind: type[CSV] | type[JSONLines] | type[Parquet]
    settings: dict[str, Any]
    rows: list[Row]
    first: str  # where the first row stands

    @property
    def columns(self) -> list[str]:
        """All names that occur, in their order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


def table_of(given: str, encoding: str) -> Table:
    """The rows that a file of .csv, .tsv, .jsonl or .parquet holds, or the first of several.

    Raises:
        UserError: for another ending, or what cannot be read, naming file and line.
    """
    files = CSV(given, 0, encoding=encoding).files()
    name = files[0].name
    for compression in COMPRESSIONS[1:]:
        name = name.removesuffix(compression)
    source: FileSource
    if name.endswith((".csv", ".tsv")):
        return _delimited(given, files[0], "\t" if name.endswith(".tsv") else ",", encoding)
    coded = {} if encoding == "utf-8" else {"encoding": encoding}
    rows: Iterator[Row]
    if name.endswith((".jsonl", ".ndjson")):
        source = JSONLines(given, encoding=encoding)
        rows = (row for path in files for _, row in objects(source, path))
        return _table(JSONLines, coded, rows, files[0])
    if name.endswith(".parquet"):
        parquet = Parquet(given)
        return _table(Parquet, {}, (row for path in files for row in parquet.rows(path)), files[0])
    raise UserError(f"--task {given}: its ending is none of .csv, .tsv, .jsonl and .parquet")


def _table(kind: Any, settings: Row, rows: Iterator[Row], path: Path) -> Table:
    read = list(islice(rows, LOOKED_AT))
    if not read:
        raise UserError(f"{path}: no records in this file; fill it or leave it out")
    return Table(kind, settings, read, f"{path}:1")


def _delimited(given: str, path: Path, expected: str, encoding: str) -> Table:
    delimiter, quoting = _dialect(given, path, expected, encoding)
    source = CSV(given, 0, delimiter=delimiter, header=False, quoting=quoting, encoding=encoding)
    rows = list(islice((cells for _, cells in source.rows(path)), LOOKED_AT + 1))
    if not rows:
        raise UserError(f"{path}: no records in this file; fill it or leave it out")
    header = _is_header(rows)
    names = rows[0] if header else [str(i) for i in range(min(map(len, rows)))]
    settings = {
        name: value
        for name, value, default in (
            ("delimiter", delimiter, ","),
            ("header", header, True),
            ("quoting", quoting, True),
            ("encoding", encoding, "utf-8"),
        )
        if value != default
    }
    return _table(CSV, settings, (dict(zip(names, row, strict=False)) for row in rows[header:]), path)


def _dialect(given: str, path: Path, expected: str, encoding: str) -> tuple[str, bool]:
    """The delimiter and quoting that give the file more than a column: those of its ending, if they do."""
    first: UserError | None = None
    for delimiter in dict.fromkeys([expected, "\t", ",", ";"]):
        for quoting in (True, False) if delimiter == "\t" else (True,):
            source = CSV(given, 0, delimiter=delimiter, header=False, quoting=quoting, encoding=encoding)
            try:
                wide = all(len(cells) > 1 for _, cells in islice(source.rows(path), LOOKED_AT))
            except UserError as error:
                first = first or error
                continue
            if wide:
                return delimiter, quoting
    if first:
        raise first
    return expected, True


def _is_header(rows: list[list[str]]) -> bool:
    """Names are no numbers, differ, are no values of the column below, and none is empty but that of row numbers."""
    names = rows[0]
    if len(set(names)) < len(names) or not all(names[1:]) or any(map(number, names)):
        return False
    below = [{row[i] for row in rows[1:] if i < len(row)} for i in range(len(names))]
    return not any(name in values for name, values in zip(names, below, strict=True))


def number(value: Any) -> bool:
    """Whether a value can be read as a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
