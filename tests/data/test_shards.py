"""Many parts, many shards: the same files for any number of processes, and none made twice after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from research.data import parallel, shards
from research.data.cache import cached_table
from research.errors import UserError

SCHEMA = pa.schema([("token", pa.int64())])
PARTS, BATCHES, ROWS = 5, 4, 100


def numbers(part: int, side: Path | None, row: int) -> Iterator[pa.RecordBatch]:
    """Batches of a part from a row on; the side file tells which rows were asked for."""
    for start in range(row, BATCHES * ROWS, ROWS):
        if side is not None:
            with side.open("a") as file:
                file.write(f"{part}:{start}\n")
        first = part * 1_000_000 + start
        yield pa.record_batch([pa.array(range(first, first + ROWS))], schema=SCHEMA)


def build(folder: Path, side: Path | None = None) -> pa.Table:
    return cached_table(folder, lambda: [partial(numbers, part, side) for part in range(PARTS)], SCHEMA)


EXPECTED = [1_000_000 * part + i for part in range(PARTS) for i in range(BATCHES * ROWS)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Two batches a shard, and so many cores."""

    def small(cores: int) -> None:
        monkeypatch.setattr(shards, "SHARD_BYTES", 2 * ROWS * 8)
        monkeypatch.setattr(parallel, "cores", lambda: cores)

    return small


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_number_of_processes_makes_the_same_files(tmp_path: Path, small: Callable[[int], None]) -> None:
    made = []
    for cores in (1, 2, 3, 16):
        small(cores)
        assert build(tmp_path / str(cores))["token"].to_pylist() == EXPECTED
        made.append(content(tmp_path / str(cores)))
    assert all(files == made[0] for files in made)
    expected = [f"{part:05d}-0000{shard}.arrow" for part in range(PARTS) for shard in ("0", "1-last")]
    assert sorted(made[0]) == [*expected, "manifest.json"]


@pytest.mark.parametrize("cores", [1, 2])
def test_shard_that_is_gone_or_torn_is_made_again_alone(
    tmp_path: Path, cores: int, small: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    small(cores)
    build(tmp_path / "a")
    before = content(tmp_path / "a")
    (tmp_path / "a" / "00001-00001-last.arrow").unlink()
    torn = tmp_path / "a" / "00003-00000.arrow"
    torn.write_bytes(torn.read_bytes()[:-9])
    assert build(tmp_path / "a", tmp_path / "side")["token"].to_pylist() == EXPECTED
    assert content(tmp_path / "a") == before
    asked = sorted((tmp_path / "side").read_text().split())
    assert asked == ["1:200", "1:300", "3:0", "3:100", "3:200", "3:300"]
    for name in ("00001-00001-last.arrow", "00003-00000.arrow"):
        assert any(name in message and "building it anew" in message for message in caplog.messages), name


def test_error_of_a_part_comes_through_and_leaves_finished_shards(tmp_path: Path, small: Callable[[int], None]) -> None:
    small(2)

    def broken(row: int) -> Iterator[pa.RecordBatch]:
        yield from numbers(1, None, row)
        raise UserError("there.txt:7: broken")

    def slow(row: int) -> Iterator[pa.RecordBatch]:
        while True:  # ends because it is told to
            yield from numbers(2, None, 0)
            time.sleep(0.01)

    with pytest.raises(UserError, match=r"^there\.txt:7: broken$"):
        cached_table(tmp_path / "a", lambda: [slow, broken], SCHEMA)
    kept = {path.name for path in (tmp_path / "a").iterdir()}
    assert "00001-00000.arrow" in kept and all(name.endswith(".arrow") for name in kept)


KILLED = """
import sys, time
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from research.data import parallel, shards
import test_shards as given
shards.SHARD_BYTES, parallel.cores = 2 * given.ROWS * 8, lambda: 2
def stalls(part, row):
    for batch in given.numbers(part, None, row):
        yield batch
        if part == 2:
            Path(sys.argv[3]).touch()
            time.sleep(600)
given.cached_table(Path(sys.argv[2]), lambda: [partial(stalls, part) for part in range(given.PARTS)], given.SCHEMA)
"""


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_killed_build_is_gone_on_with(tmp_path: Path, small: Callable[[int], None]) -> None:
    """Its processes end with it, and what they had finished is not read again."""
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "a"), str(tmp_path / "stalled")]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (tmp_path / "stalled").exists() or len(list((tmp_path / "a").glob("*-last.arrow"))) < PARTS - 1:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(map(running, workers)):
        assert time.monotonic() < deadline, "a worker outlived its run"
        time.sleep(0.02)

    small(2)
    assert build(tmp_path / "a", tmp_path / "side")["token"].to_pylist() == EXPECTED
    assert (tmp_path / "side").read_text().split() == ["2:0", "2:100", "2:200", "2:300"]
    assert not list((tmp_path / "a").glob("*.building"))
