"""A file of answers that is there whole or not at all, and whose writing can be stopped and gone on with."""

import argparse
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from research.data.cache import key
from research.errors import UserError, given_by
from research.files import unwritable
from research.inference.decisions.file import beside
from research.inference.loading import checkpoint_of
from research.inference.model import WINDOW
from research.inference.reading import STDIN, source_of
from research.models.backbone import files_digest

ENDINGS = (".jsonl", ".parquet")


def fingerprint(chosen: argparse.Namespace) -> str | None:
    """A digest of what the answers depend on, by which a command that is given again is known.

    None for standard input, which cannot be read again.
    """
    if STDIN in chosen.input:
        return None
    with given_by("--input"):
        read_as = (chosen.text, chosen.text_pair, chosen.encoding)
        sources = [source_of(path, *read_as).fingerprint() for path in chosen.input]
    checkpoint = checkpoint_of(chosen.ckpt)
    read = [path for path in (checkpoint, beside(checkpoint)) if path.exists()]
    return key({**vars(chosen), "output": None}, files_digest(read), sources)


class Results:
    """Answers as JSON lines or Parquet.

    Args:
        path: the file; until it is whole its answers lie beside it, under a name with the fingerprint.
        fingerprint: of the command; none leaves nothing to go on with.
        window: answers that are written together, between which a stopped command goes on.

    Raises:
        UserError: if the file is there already, or has another ending.
    """

    def __init__(self, path: Path, fingerprint: str | None, window: int = WINDOW) -> None:
        self.path, self.window = path, window
        if path.suffix not in ENDINGS:
            raise UserError(f"--output {path}: its ending is neither .jsonl nor .parquet")
        if path.exists():
            raise UserError(f"--output {path}: is there already")
        self.part = path.with_name(f".{path.name}.{(fingerprint or 'stdin')[:12]}.part")
        self.done = 0
        if fingerprint is None:
            self.part.unlink(missing_ok=True)
        elif self.part.exists():
            with self.part.open("rb") as file:
                self.done = sum(line.endswith(b"\n") for line in file) // window * window

    def write(self, answers: Iterator[dict[str, Any]]) -> int:
        """Add the answers that are still to come, and give the file its name; returns how many it has.

        Raises:
            UserError: if it cannot be written; what was written is kept.
        """
        count = self.done
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.part.open("a+b") as file:
                file.seek(0)
                file.truncate(sum(len(line) for line in islice(file, self.done)))
                while window := list(islice(answers, self.window)):
                    file.write("".join(json.dumps(a, ensure_ascii=False) + "\n" for a in window).encode())
                    file.flush()
                    count += len(window)
                os.fsync(file.fileno())
            if self.path.suffix == ".parquet":
                self._convert()
            else:
                os.replace(self.part, self.path)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return count

    def _convert(self) -> None:
        """The same answers, all with all columns that any of them has."""
        work = self.part.with_suffix(".new")
        schema = pa.unify_schemas(
            [pa.schema([]), *(table.schema for table in self._tables())], promote_options="permissive"
        )
        try:
            with pq.ParquetWriter(work, schema) as writer:
                for table in self._tables(schema):
                    writer.write_table(table)
            os.replace(work, self.path)
        finally:
            work.unlink(missing_ok=True)
        self.part.unlink()

    def _tables(self, schema: pa.Schema | None = None) -> Iterator[pa.Table]:
        with self.part.open() as file:
            rows = map(json.loads, file)
            while window := list(islice(rows, WINDOW)):
                names = dict.fromkeys(name for row in window for name in row)  # Arrow looks at the first row alone
                yield pa.Table.from_pylist([{name: row.get(name) for name in names} for row in window], schema=schema)
