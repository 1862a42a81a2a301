"""Columns divided by commas, tabs or the like, and the older form of a label before the text."""

import csv
from collections.abc import Iterator
from pathlib import Path

from research.data.sources.fields import columns, listed, to_record
from research.data.sources.files import FileSource
from research.data.sources.source import Record
from research.errors import UserError


class CSV(FileSource):
    r"""A record for each row; labels stay strings.

    With `header`, the first row names the columns, `text` and the rest are such names, and every row must
    have as many columns as the header. Without, they are numbers from 0, and rows may have more columns than
    are read. `quoting` follows RFC 4180: a field in double quotes may hold delimiters, line ends and doubled
    quotes; turn it off where a quote is an ordinary character, as in most tab-separated corpora.
    `delimiter` is one character; a tab is written "\t". `where` is the file and the line on which the row
    starts. What is wrong with the header, or with quotes over more than a line, refuses the file whatever `max_bad`
    says, since it leaves no row after it certain.
    """

    endings = (".csv", ".tsv")

    def __init__(
        self,
        paths: str | list[str],
        text: int | str,
        text_pair: int | str | None = None,
        label: int | str | None = None,
        target: int | str | None = None,
        delimiter: str = ",",
        header: bool = True,
        quoting: bool = True,
        encoding: str = "utf-8",
        max_bad: int = 0,
    ):
        super().__init__(paths, encoding, max_bad)
        self.columns = columns(text, text_pair, label, target)
        self.delimiter = delimiter.replace(r"\t", "\t")  # a shell gives two characters
        self.header = header
        self.quoting = quoting
        if len(self.delimiter) != 1:
            raise UserError(f'delimiter: must be one character, not "{delimiter}"; a tab is "\\t"')
        for field, column in self.columns.items():
            if not header and not str(column).isdecimal():
                raise UserError(f"{field}: without header a column is its number from 0, not '{column}'")

    def read(self, path: Path) -> Iterator[Record]:
        rows = self.rows(path)
        if self.header:
            where, names = next(rows, (f"{path}:1", None))
            if names is None:
                return
            places = {field: _place(str(column), names, where) for field, column in self.columns.items()}
            width, bound = len(names), "exactly"
        else:
            places = {field: int(column) for field, column in self.columns.items()}
            width, bound = max(places.values()) + 1, "at least"
        for where, row in rows:
            if not self.readable(where, "".join(row)):
                continue
            if len(row) < width or (self.header and len(row) > width):
                self.bad(UserError(f"{where}: {len(row)} columns, where {bound} {width} are expected"))
                continue
            try:
                yield to_record(where, {field: row[place] for field, place in places.items()})
            except UserError as error:
                self.bad(error)

    def rows(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Where each row starts, and its columns; blank lines are skipped."""
        csv.field_size_limit(2**31 - 1)  # the module's own limit of 128 KiB is less than a long document
        reader = csv.reader(
            (line for _, line in self.lines(path, newline="")),
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            strict=True,
        )
        began = not self.header
        while True:
            start = reader.line_num + 1
            where = f"{path}:{start}"
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                unclosed = "unexpected end of data" in str(error)
                told = "a quote in this row is never closed; see `quoting`" if unclosed else str(error)
                if not began or unclosed or reader.line_num > start:
                    raise UserError(f"{where}: {told}") from error
                self.bad(UserError(f"{where}: {told}"))
                continue
            if row:
                began = True
                yield where, row


def _place(column: str, names: list[str], where: str) -> int:
    if column not in names:
        raise UserError(f"{where}: no column '{column}' in the header; there is {listed(names)}")
    if names.count(column) > 1:
        raise UserError(f"{where}: {names.count(column)} columns are called '{column}'; give each a name of its own")
    return names.index(column)


class LabelledLines(FileSource):
    """A record for each line `label text`: the first word is the label, the rest of the line is the text.

    The form of TREC's questions. Blank lines are skipped. `where` is the file and line.
    """

    endings = (".txt", ".label")

    def read(self, path: Path) -> Iterator[Record]:
        for number, line in self.lines(path):
            where = f"{path}:{number}"
            label, _, text = line.strip().partition(" ")
            if not label or not self.readable(where, line):
                continue
            if text:
                yield {"text": text.lstrip(), "label": label, "where": where}
            else:
                self.bad(UserError(f"{where}: a label and a text are expected, not '{label[:40]}' alone"))
