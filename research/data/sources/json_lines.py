"""One JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from research.data.sources.fields import columns, look_up, to_record
from research.data.sources.files import FileSource
from research.data.sources.source import Record
from research.errors import UserError


class JSONLines(FileSource):
    """A record for each line that holds a JSON object; blank lines are skipped.

    `text`, `text_pair`, `label` and `target` name the keys to read; `user.name` reads a nested one. A list as
    label is a list of labels. `where` is the file and line.
    """

    endings = (".jsonl", ".ndjson")

    def __init__(
        self,
        paths: str | list[str],
        text: str = "text",
        text_pair: str | None = None,
        label: str | None = None,
        target: str | None = None,
        encoding: str = "utf-8",
        max_bad: int = 0,
    ):
        super().__init__(paths, encoding, max_bad)
        self.columns = columns(text, text_pair, label, target)

    def read(self, path: Path) -> Iterator[Record]:
        for where, row in objects(self, path):
            try:
                yield to_record(where, {field: look_up(row, column, where) for field, column in self.columns.items()})
            except UserError as error:
                self.bad(error)


def objects(source: FileSource, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place, `path:line`, and content of each JSON object in a file of `source`, which counts the bad lines."""
    for number, line in source.lines(path):
        where = f"{path}:{number}"
        if not line.strip() or not source.readable(where, line):
            continue
        try:
            row = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            source.bad(UserError(f"{where}:{error.colno}: not JSON: {error.msg}"))
        except (ValueError, RecursionError):
            source.bad(UserError(f"{where}: not JSON: a number is too long or its brackets are too deep"))
        else:
            if isinstance(row, dict):
                yield where, row
            else:
                source.bad(UserError(f"{where}: a JSON object is expected, not {type(row).__name__}"))
