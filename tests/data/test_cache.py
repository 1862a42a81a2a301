"""The cache under what happens to caches: races, kills, full disks, damaged files."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from research.data.cache import cached_table, default_folder, key
from research.errors import UserError

SCHEMA = pa.schema([("token", pa.int64())])
ROWS = 100_000


def batches(count: int = 10) -> Iterator[pa.RecordBatch]:
    for start in range(count):
        numbers = np.arange(start * ROWS, (start + 1) * ROWS)
        yield pa.record_batch([pa.array(numbers)], schema=SCHEMA)


def never() -> Iterator[pa.RecordBatch]:
    raise AssertionError("built a second time")


def names(folder: Path) -> list[str]:
    """What lies in a folder, but for locks: those may stay."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock")


# A build in a process of its own: writes a batch, says so in a side file, then takes its time.
BUILDER = """
import sys, time
from pathlib import Path
import pyarrow as pa
from research.data.cache import cached_table
path, side, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
schema = pa.schema([("token", pa.int64())])
def build():
    yield pa.record_batch([pa.array(range(100_000))], schema=schema)
    with side.open("a") as file:
        file.write("built\\n")
    time.sleep(pause)
    yield pa.record_batch([pa.array(range(100_000))], schema=schema)
print(cached_table(path, build, schema)["token"].to_numpy().sum())
"""


def start_builder(path: Path, side: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(path), str(side), str(pause)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def wait_for(side: Path) -> None:
    deadline = time.monotonic() + 60
    while not side.exists():
        assert time.monotonic() < deadline, "the builder never started"
        time.sleep(0.02)


def test_table_comes_back_whole_and_memory_mapped(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "a.arrow"
    built = cached_table(path, batches, SCHEMA)
    allocated = pa.total_allocated_bytes()
    table = cached_table(path, never, SCHEMA)
    assert table.nbytes == 10 * ROWS * 8
    assert pa.total_allocated_bytes() - allocated < table.nbytes / 100
    np.testing.assert_array_equal(table["token"].to_numpy(), np.arange(10 * ROWS))
    assert table.equals(built)
    assert names(path.parent) == ["a.arrow"]


def test_table_without_rows_is_kept_too(tmp_path: Path) -> None:
    cached_table(tmp_path / "a.arrow", lambda: iter(()), SCHEMA)
    assert cached_table(tmp_path / "a.arrow", never, SCHEMA).num_rows == 0


def test_two_processes_build_once(tmp_path: Path) -> None:
    path, side = tmp_path / "a.arrow", tmp_path / "side"
    processes = [start_builder(path, side, pause=2) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == [f"{2 * sum(range(100_000))}\n"] * 2
    assert side.read_text() == "built\n"


def test_killed_build_leaves_no_cache_and_the_next_cleans_up(tmp_path: Path) -> None:
    path, side = tmp_path / "a.arrow", tmp_path / "side"
    process = start_builder(path, side, pause=600)
    wait_for(side)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names(tmp_path) == ["a.arrow.building", "side"]

    cached_table(tmp_path / "other.arrow", batches, SCHEMA)
    assert names(tmp_path) == ["other.arrow", "side"]
    assert cached_table(path, batches, SCHEMA).num_rows == 10 * ROWS


def test_cleaning_up_spares_a_build_that_goes_on(tmp_path: Path) -> None:
    path, side = tmp_path / "a.arrow", tmp_path / "side"
    process = start_builder(path, side, pause=3)
    wait_for(side)
    cached_table(tmp_path / "other.arrow", batches, SCHEMA)
    assert process.communicate(timeout=60)[0] == f"{2 * sum(range(100_000))}\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_stopped_build_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def stopped() -> Iterator[pa.RecordBatch]:
        yield from batches(2)
        raise error("stop")

    with pytest.raises(error, match="stop"):
        cached_table(tmp_path / "a.arrow", stopped, SCHEMA)
    assert names(tmp_path) == []
    assert cached_table(tmp_path / "a.arrow", batches, SCHEMA).num_rows == 10 * ROWS


def test_file_over_the_size_limit_names_folder_and_key(tmp_path: Path) -> None:
    """A write that the system refuses (EFBIG): Python ignores SIGXFSZ, so it comes as an OSError."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"data\.cache") as caught:
            cached_table(tmp_path / "a.arrow", batches, SCHEMA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in str(caught.value) and "free" in str(caught.value)
    assert names(tmp_path) == []


def test_full_disk_names_folder_and_key(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        with pytest.raises(UserError, match=rf"{disk}.*MB free.*No space left.*data\.cache"):
            cached_table(disk / "a.arrow", batches, SCHEMA)
        assert names(disk) == []
        assert cached_table(disk / "a.arrow", lambda: batches(1), SCHEMA).num_rows == ROWS
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_folder_that_is_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"data\.cache"):
        cached_table(tmp_path / "taken" / "a.arrow", batches, SCHEMA)


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_damaged_file_is_built_anew(tmp_path: Path, keep: float, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.arrow"
    cached_table(path, batches, SCHEMA)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with caplog.at_level("WARNING"):
        assert cached_table(path, batches, SCHEMA).num_rows == 10 * ROWS
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


def test_file_of_another_schema_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    cached_table(path, batches, SCHEMA)
    other = pa.schema([("text", pa.string())])
    batch = pa.record_batch([pa.array(["a"])], schema=other)
    assert cached_table(path, lambda: iter([batch]), other)["text"].to_pylist() == ["a"]


def test_key_stands_for_content() -> None:
    assert key({"a": 1, "b": [2]}) == key({"b": [2], "a": 1})
    assert len({key("ab"), key("a", "b"), key(["a", "b"]), key("a", None), key("a", "1"), key("a", 1)}) == 6
    assert int(key("a"), 16) >= 0
    with pytest.raises(TypeError):
        key(object())


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/hybrid-fine-tuning")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_folder() == Path("/home/someone/.cache/hybrid-fine-tuning")
