"""Columns of Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from research.data.sources.fields import columns, listed, look_up, to_record
from research.data.sources.files import FileSource, open_raw
from research.data.sources.source import Record
from research.errors import UserError

ROWS = 1024  # read at once


class Parquet(FileSource):
    """A record for each row.

    `text`, `text_pair`, `label` and `target` name the columns, which alone are read; `user.name` reads a nested
    one. A list as label is a list of labels. `where` is the file and the row, counted from 1.
    """

    endings = (".parquet",)

    def __init__(
        self,
        paths: str | list[str],
        text: str = "text",
        text_pair: str | None = None,
        label: str | None = None,
        target: str | None = None,
        max_bad: int = 0,
    ):
        super().__init__(paths, max_bad=max_bad)
        self.columns = columns(text, text_pair, label, target)

    def after(self, count: int) -> Iterator[Record]:
        """Row groups of a single file are passed over unread, unless bad rows may be among them."""
        if self.max_bad or len(files := self.files()) > 1:
            return super().after(count)
        return self.read(files[0], count)

    def read(self, path: Path, start: int = 0) -> Iterator[Record]:
        for number, row in enumerate(self.rows(path, start, list(self.columns.values())), start + 1):
            where = f"{path}:{number}"
            try:
                yield to_record(where, {field: look_up(row, column, where) for field, column in self.columns.items()})
            except UserError as error:
                self.bad(error)

    def rows(self, path: Path, start: int = 0, wanted: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows from ``start`` on, with the columns that are wanted, or all."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        row = 0
        try:
            with open_raw(path) as stream, ParquetFile(stream) as file:
                names = file.schema_arrow.names
                for column in wanted or ():
                    if column not in names and column.split(".")[0] not in names:
                        raise UserError(f"{path}: no column '{column}'; there is {listed(names)}")
                for group in range(file.num_row_groups):  # one in memory at a time
                    if row + (rows := file.metadata.row_group(group).num_rows) <= start:
                        row += rows
                        continue
                    for batch in file.iter_batches(ROWS, [group], wanted):
                        yield from batch.slice(min(max(start - row, 0), len(batch))).to_pylist()
                        row += len(batch)
        except (OSError, ValueError, pa.ArrowException) as error:
            where = f"{path}: cannot be read" + (f" after row {row}" if row else "")
            raise UserError(f"{where}: {' '.join(str(error).split())}") from error
