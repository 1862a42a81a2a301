"""The files of a cached table: Arrow shards of bounded size, each written whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from research.data.parallel import Report, each
from research.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

SHARD_BYTES = 256_000_000  # of Arrow data; a shard ends with the batch that reaches it
LAST = "-last"  # in the name of the shard that ends its part

Part = Callable[[int], "Iterator[pa.RecordBatch]"]
"""Gives the batches of a part from a row on. The same batches in every call; the row is the first of one of them."""


def shard_names(folder: Path) -> list[str]:
    """The shards of all parts in the order of their rows."""
    return sorted(path.name for path in folder.glob("*.arrow"))


def write_shards(folder: Path, parts: Sequence[Part], schema: pa.Schema) -> None:
    """Make the shards of all parts that are not there yet.

    Raises `UserError` where the disk refuses. What a part raises passes through, and finished shards stay.
    """
    with explained(folder.parent):
        for path in folder.iterdir():
            if path.suffix != ".arrow":
                path.unlink()  # what a killed build left unfinished
    each(partial(_write_part, folder, parts, schema), len(parts))


def read_shard(path: Path, schema: pa.Schema) -> pa.Table | None:
    """A shard's rows, memory-mapped; none, and a warning, where it is gone, torn or of another schema."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError:
        log.warning("%s is gone: building it anew", path)
        return None
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read ({error}); set data.cache to a folder of yours") from error
    except (pa.ArrowException, OSError) as error:
        log.warning("%s is not a whole Arrow file (%s): building it anew", path, error)
        return None
    if table.schema != schema:
        log.warning("%s has other columns than are asked for: building it anew", path)
        return None
    return table


def _write_part(folder: Path, parts: Sequence[Part], schema: pa.Schema, number: int, report: Report) -> None:
    with explained(folder.parent):
        count, rows, finished = _kept(folder, number, schema)
    if finished:
        return
    batches = parts[number](rows)
    batch = next(batches, None)
    while True:
        building, size = folder / f"{number:05d}.building", 0
        try:
            with explained(folder.parent):
                sink = _Sink(building, schema)
            while batch is not None and size < SHARD_BYTES:
                with explained(folder.parent):
                    sink.writer.write_batch(batch)
                size += batch.nbytes
                report(len(batch), batch.nbytes)
                batch = next(batches, None)
            with explained(folder.parent):
                sink.close()
                os.replace(building, folder / f"{number:05d}-{count:05d}{LAST if batch is None else ''}.arrow")
        except BaseException:
            building.unlink(missing_ok=True)
            raise
        count += 1
        if batch is None:
            return


def _kept(folder: Path, number: int, schema: pa.Schema) -> tuple[int, int, bool]:
    """Shards and rows of a part that need not be made again, and whether that is all of it."""
    count, rows, sound, finished = 0, 0, True, False
    for path in sorted(folder.glob(f"{number:05d}-*.arrow")):
        sound = sound and path.name.startswith(f"{number:05d}-{count:05d}")
        shard = read_shard(path, schema) if sound else None
        if shard is None:
            sound = False
            path.unlink()
        else:
            count, rows, finished = count + 1, rows + len(shard), path.stem.endswith(LAST)
    return count, rows, finished


class _Sink:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow as pa

        self.path, self.file = path, pa.OSFile(str(path), "wb")
        self.writer = pa.ipc.new_file(self.file, schema)

    def close(self) -> None:
        self.writer.close()
        self.file.close()
        with self.path.open("rb") as written:
            os.fsync(written.fileno())


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """An error of the disk, as one that names the folder, its free space and the key that moves it."""
    try:
        yield
    except OSError as error:
        existing = next(place for place in [folder, *folder.absolute().parents] if place.exists())
        free = f"{shutil.disk_usage(existing).free / 1e6:,.1f} MB free"
        reason = error.strerror or error
        told = f"cannot write the cache in {folder} ({free}): {reason}"
        raise UserError(f"{told}; set data.cache to a folder with room") from error
