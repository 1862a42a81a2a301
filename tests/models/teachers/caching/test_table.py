"""A table gives back what was put into it, whole shards alone, and takes no memory of its own."""

from pathlib import Path

import numpy as np
import pytest

from research.errors import UserError
from research.models.teachers.caching.table import Appender, Table, finish

Rows = dict[int, dict[str, np.ndarray]]


def random_rows(count: int, seed: int = 0, width: int = 9) -> Rows:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, count, dtype=np.uint64).tolist()
    return {
        key: {
            "token": rng.integers(0, 700, rng.integers(0, width)).astype(np.uint16),
            "log_probability": rng.normal(size=width).astype(np.float16),
        }
        for key in keys
    }


def write(folder: Path, rows: Rows, shard: int, rank: int = 0) -> None:
    table = Appender(folder, rank)
    for number, (key, cells) in enumerate(rows.items(), 1):
        table.add(key, cells)
        if number % shard == 0:
            table.flush()
    table.flush()


def open_table(folder: Path) -> Table:
    described = finish(folder)
    return Table(folder, described["shards"], described["index"])  # type: ignore[arg-type]


def test_gives_back_every_row(tmp_path: Path) -> None:
    rows = random_rows(50)
    write(tmp_path, rows, shard=7)
    table = open_table(tmp_path)
    wanted = list(rows)[::-3]
    ranks = table.find(np.array([*wanted, 12345], np.uint64))
    assert ranks[-1] == -1 and (ranks[:-1] >= 0).all()
    columns = table.read(ranks[:-1])
    for i, key in enumerate(wanted):
        for name, cell in rows[key].items():
            assert columns[name][i].dtype == cell.dtype
            np.testing.assert_array_equal(columns[name][i], cell)


def test_knows_what_is_missing(tmp_path: Path) -> None:
    rows = random_rows(6)
    keys = np.array(list(rows), np.uint64)
    table = Appender(tmp_path)
    assert table.missing(keys[[0, 1, 0]]).tolist() == [True, True, False], "of equal rows the first"
    table.add(int(keys[0]), rows[int(keys[0])])
    assert table.missing(keys[:2]).tolist() == [False, True]
    table.flush()
    assert table.missing(keys[:2]).tolist() == [False, True]
    assert Appender(tmp_path).missing(keys[:2]).tolist() == [False, True], "another process knows it from the disk"


def test_rows_that_were_not_flushed_do_not_exist(tmp_path: Path) -> None:
    rows = random_rows(10)
    lost = Appender(tmp_path)
    for key, cells in rows.items():
        lost.add(key, cells)
    (tmp_path / "000-000000.building").write_bytes(b"what a killed writer leaves")
    assert Appender(tmp_path).missing(np.array(list(rows), np.uint64)).all()
    write(tmp_path, rows, shard=4)
    assert (open_table(tmp_path).find(np.array(list(rows), np.uint64)) >= 0).all()


def test_several_writers_may_meet_the_same_row(tmp_path: Path) -> None:
    rows = random_rows(9)
    some = dict(list(rows.items())[:5])
    write(tmp_path, rows, shard=4, rank=0)
    for key, cells in some.items():  # as a process that started when the folder was empty
        other = Appender(tmp_path / "elsewhere", 1)
        other.add(key, cells)
        other.flush()
    for path in (tmp_path / "elsewhere").glob("*.arrow"):
        path.rename(tmp_path / path.name)
    table = open_table(tmp_path)
    assert len(table.keys) == len(rows)


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """A hundred megabytes are read, and the process has no more memory of its own than before."""

    def own_memory() -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells which memory is a process's own")
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, 2000, dtype=np.uint64)
    writer = Appender(tmp_path)
    for i, key in enumerate(keys.tolist()):
        writer.add(key, {"feature": rng.normal(size=25_000).astype(np.float16)})
        if i % 200 == 199:
            writer.flush()
    del writer
    table = open_table(tmp_path)
    before, total = own_memory(), 0.0
    for key in keys:
        total += float(table.read(table.find(np.array([key])))["feature"][0].sum(dtype=np.float32))
    assert np.isfinite(total)
    assert own_memory() - before < 10_000, "kilobytes"


def test_a_lost_file_is_told(tmp_path: Path) -> None:
    write(tmp_path, random_rows(9), shard=4)
    described = finish(tmp_path)
    (tmp_path / "000-000001.arrow").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        Table(tmp_path, described["shards"], described["index"])  # type: ignore[arg-type]
