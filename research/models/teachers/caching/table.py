"""A table on disk: of each key some arrays of any length, in memory-mapped Arrow files that are written whole."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from research.data.shards import explained
from research.errors import UserError

log = logging.getLogger(__name__)

Cells = Mapping[str, np.ndarray]
"""A row: one-dimensional arrays by column. All rows of a table have the same columns, of the same types."""


class Table:
    """Reads. Neither the cells nor the index are copied into memory: what is resident are pages that can be dropped.

    Args:
        folder: where the files lie.
        shards: names of the Arrow files that the index counts.
        index: name of a file with (2, n) uint64: the keys, rising, and the place of each, as :func:`finish` has it.
    """

    def __init__(self, folder: Path, shards: Sequence[str], index: str) -> None:
        try:
            if outside := [name for name in (index, *shards) if Path(name).name != name]:
                raise ValueError(f"{outside[0]} is not the name of a file in it")
            self.keys, self.places = np.load(folder / index, mmap_mode="r")
            self.batches = [_open(folder / name) for name in shards]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise UserError(f"{folder}: cannot be read ({error}); remove it, and write the cache anew") from error

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(N,) ranks of the keys (N,) in the index, -1 for those that are not there."""
        return _found(self.keys, keys)

    def read(self, ranks: np.ndarray) -> dict[str, list[np.ndarray]]:
        """The cells of the rows at some ranks of the index, by column."""
        rows = [(self.batches[place >> 32], place & 0xFFFFFFFF) for place in self.places[ranks].tolist()]
        names = self.batches[0].schema.names[1:]
        return {name: [batch[name][row].values.to_numpy() for batch, row in rows] for name in names}


class Appender:
    """Writes rows in shards, and knows those of earlier ones.

    Args:
        folder: made if it is not there.
        rank: of the process among those that write into the folder.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder, self.rank = folder, rank
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.keys = np.sort(np.concatenate([np.zeros(0, np.uint64), *(keys for _, keys in _shards(folder))]))
        self.begun: dict[int, Cells] = {}
        self.size = 0  # bytes of the rows that are not on disk yet

    def missing(self, keys: np.ndarray) -> np.ndarray:
        """(N,) bool: which keys are neither on disk nor added; of equal ones the first."""
        first = np.zeros(len(keys), bool)
        first[np.unique(keys, return_index=True)[1]] = True
        begun = np.array([key in self.begun for key in keys.tolist()], bool)
        return first & ~begun & (_found(self.keys, keys) < 0)

    def add(self, key: int, cells: Cells) -> None:
        self.begun[key] = cells
        self.size += sum(cell.nbytes for cell in cells.values())

    def flush(self) -> None:
        """Bring the added rows to disk: as a whole shard, or not at all."""
        if not self.begun:
            return
        keys = np.array(list(self.begun), np.uint64)
        rows = list(self.begun.values())
        columns = {name: _lists([row[name] for row in rows]) for name in rows[0]}
        batch = pa.record_batch({"key": pa.array(keys), **columns})
        number = sum(1 for _ in self.folder.glob(f"{self.rank:03d}-*.arrow"))
        path = self.folder / f"{self.rank:03d}-{number:06d}.arrow"
        with explained(self.folder):
            building = path.with_suffix(".building")
            with pa.OSFile(str(building), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
                writer.write_batch(batch)
            _replace(building, path)
        self.keys = np.sort(np.concatenate([self.keys, keys]))
        self.begun, self.size = {}, 0


def finish(folder: Path) -> dict[str, object]:
    """Index all shards of a folder; returns what :class:`Table` needs, and the number of rows."""
    shards = list(_shards(folder))
    keys = np.concatenate([np.zeros(0, np.uint64), *(keys for _, keys in shards)])
    places = [(number << 32) + np.arange(len(keys), dtype=np.uint64) for number, (_, keys) in enumerate(shards)]
    keys, first = np.unique(keys, return_index=True)  # several processes may have met the same row
    name = f"index-{len(keys)}.npy"
    with explained(folder):
        building = folder / f"{name}.building"
        with building.open("wb") as file:
            np.save(file, np.stack([keys, np.concatenate([np.zeros(0, np.uint64), *places])[first]]))
        _replace(building, folder / name)
    return {"shards": [shard for shard, _ in shards], "index": name, "rows": len(keys)}


def _shards(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The shards and the keys in each, in the order of their names."""
    for path in sorted(folder.glob("*.arrow")):
        yield path.name, _open(path)["key"].to_numpy()


def _found(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(N,) ranks of keys (N,) among those that are there, -1 for the others."""
    if not len(sorted_keys):
        return np.full(len(keys), -1)
    ranks = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.where(sorted_keys[ranks] == keys, ranks, -1)


def _open(path: Path) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)


def _lists(cells: Sequence[np.ndarray]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, cells)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(cells)))


def _replace(building: Path, path: Path) -> None:
    with building.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(building, path)
