"""Arrow tables that are built once, kept on disk and memory-mapped by every process that asks again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from research.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

LOCK, BUILDING = ".lock", ".building"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/hybrid-fine-tuning`, or the same under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hybrid-fine-tuning"


def key(*parts: object) -> str:
    """32 hex digits that stand for `parts`: a digest of their JSON, with sorted keys.

    Raises `TypeError` for what JSON cannot write, rather than digest an address in memory.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def cached_table(path: Path, build: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema) -> pa.Table:
    """The table at `path`, memory-mapped; where there is none, `build` makes its batches first.

    Of processes that start together one builds and the rest wait for it. The file appears under its name only
    when it is whole and on the disk; a stopped build leaves nothing, a killed one a `.building` file that the
    next build in the folder removes. A file that Arrow cannot read, or of another schema, is built anew.

    Raises `UserError` where the folder cannot be written, or is full. What `build` raises passes through.
    """
    table = _read(path, schema)
    if table is not None:
        return table
    with ExitStack() as held:
        with _explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(_beside(path, LOCK)))
        table = _read(path, schema)  # another process may have built it while this one waited
        if table is None:
            _remove_leftovers(path)
            _write(path, build, schema)
            table = _read(path, schema)
    if table is None:
        raise UserError(f"{path}: unreadable just after it was written; is the disk sound?")
    return table


def _read(path: Path, schema: pa.Schema) -> pa.Table | None:
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError:
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


def _write(path: Path, build: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema) -> None:
    import pyarrow as pa

    building = _beside(path, BUILDING)
    try:
        with _explained(path.parent):
            sink = pa.OSFile(str(building), "wb")
            writer = pa.ipc.new_file(sink, schema)
        for batch in build():
            with _explained(path.parent):
                writer.write_batch(batch)
        with _explained(path.parent):
            writer.close()
            sink.close()
            with building.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(building, path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _remove_leftovers(path: Path) -> None:
    """Remove what killed builds left in the folder of `path`: unfinished files that no process has locked."""
    for building in path.parent.glob("*" + BUILDING):
        with suppress(OSError, Timeout):  # in use, or gone already
            if building != _beside(path, BUILDING):  # that one is ours, and about to be written over
                with FileLock(building.with_suffix(LOCK), timeout=0):
                    building.unlink()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """An error of the disk, as one that names the folder, its free space and the key that moves it."""
    try:
        yield
    except OSError as error:
        existing = next(place for place in [folder, *folder.absolute().parents] if place.exists())
        free = f"{shutil.disk_usage(existing).free / 1e6:,.1f} MB free"
        reason = error.strerror or error
        told = f"cannot write the cache in {folder} ({free}): {reason}"
        raise UserError(f"{told}; set data.cache to a folder with room") from error
