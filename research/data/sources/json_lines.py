"""One JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path

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
    ):
        super().__init__(paths, encoding)
        self.columns = columns(text, text_pair, label, target)

    def read(self, path: Path) -> Iterator[Record]:
        for number, line in self.lines(path):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line.rstrip())
            except json.JSONDecodeError as error:
                raise UserError(f"{where}:{error.colno}: not JSON: {error.msg}") from error
            if not isinstance(row, dict):
                raise UserError(f"{where}: a JSON object is expected, not {type(row).__name__}")
            values = {field: look_up(row, column, where) for field, column in self.columns.items()}
            yield to_record(where, values)
