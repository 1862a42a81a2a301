"""Arrow tables that are built once, kept on disk and memory-mapped by every process that asks again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from research.data.shards import Part, explained, read_shard, shard_names, write_shards
from research.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

LOCK, MANIFEST = ".lock", "manifest.json"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/hybrid-fine-tuning`, or the same under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hybrid-fine-tuning"


def key(*parts: object) -> str:
    """32 hex digits that stand for `parts`: a digest of their JSON, with sorted keys.

    Raises `TypeError` for what JSON cannot write, rather than digest an address in memory.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def cached_table(folder: Path, parts: Callable[[], Sequence[Part]], schema: pa.Schema) -> pa.Table:
    """The rows of all parts in their order, memory-mapped from the shards in `folder`.

    Where there are none, or not all, they are made first: by as many processes as there are parts and cores, in the
    same order and shards for any number of them. Of runs that start together one builds and the rest wait for it. The
    manifest is written last, and the folder counts for nothing without it. A build that is stopped or killed leaves
    its finished shards, and the next one goes on behind them; a shard that is gone, torn or of another schema is made
    again, and so are those of its part that follow it.

    Raises `UserError` where the folder cannot be written, or is full. What a part raises passes through.
    """
    table = _read(folder, schema)
    if table is not None:
        return table
    with ExitStack() as held:
        with explained(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder.with_name(folder.name + LOCK)))
        table = _read(folder, schema)  # another process may have built it while this one waited
        if table is None:
            _build(folder, parts(), schema)
            table = _read(folder, schema)
    if table is None:
        raise UserError(f"{folder}: unreadable just after it was written; is the disk sound?")
    return table


def _read(folder: Path, schema: pa.Schema) -> pa.Table | None:
    import pyarrow as pa

    try:
        names = list(json.loads((folder / MANIFEST).read_text())["shards"])
    except FileNotFoundError:
        return None
    except (PermissionError, NotADirectoryError) as error:
        raise UserError(f"{folder}: cannot be read ({error}); set data.cache to a folder of yours") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is no manifest of a cache (%s): going through its shards", folder / MANIFEST, error)
        return None
    shards = [read_shard(folder / name, schema) for name in names]
    whole = [shard for shard in shards if shard is not None]
    return pa.concat_tables(whole) if len(whole) == len(shards) else None


def _build(folder: Path, parts: Sequence[Part], schema: pa.Schema) -> None:
    try:
        with explained(folder.parent):
            folder.mkdir(exist_ok=True)
            (folder / MANIFEST).unlink(missing_ok=True)
        write_shards(folder, parts, schema)
        with explained(folder.parent):
            work = folder / f"{MANIFEST}.new"
            work.write_text(json.dumps({"shards": shard_names(folder)}))
            os.replace(work, folder / MANIFEST)
    except BaseException:
        with suppress(OSError):  # something is finished, and the next build will go on from there
            folder.rmdir()
        raise
