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
from research.data.shards import Part
from research.errors import UserError

SCHEMA = pa.schema([("token", pa.int64())])
ROWS = 100_000
SHARD = "00000-00000-last.arrow"


def batches(count: int = 10, row: int = 0) -> Iterator[pa.RecordBatch]:
    for start in range(row // ROWS, count):
        numbers = np.arange(start * ROWS, (start + 1) * ROWS)
        yield pa.record_batch([pa.array(numbers)], schema=SCHEMA)


def ten(row: int) -> Iterator[pa.RecordBatch]:
    return batches(10, row)


def build(folder: Path, part: Part = ten, schema: pa.Schema = SCHEMA) -> pa.Table:
    return cached_table(folder, lambda: [part], schema)


def never(row: int) -> Iterator[pa.RecordBatch]:
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
def build(row):
    yield pa.record_batch([pa.array(range(100_000))], schema=schema)
    with side.open("a") as file:
        file.write("built\\n")
    time.sleep(pause)
    yield pa.record_batch([pa.array(range(100_000))], schema=schema)
print(cached_table(path, lambda: [build], schema)["token"].to_numpy().sum())
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
    path = tmp_path / "deep" / "folder" / "a"
    built = build(path)
    allocated = pa.total_allocated_bytes()
    table = build(path, never)
    assert table.nbytes == 10 * ROWS * 8
    assert pa.total_allocated_bytes() - allocated < table.nbytes / 100
    np.testing.assert_array_equal(table["token"].to_numpy(), np.arange(10 * ROWS))
    assert table.equals(built)
    assert names(path) == [SHARD, "manifest.json"] and names(path.parent) == ["a"]


def test_table_without_rows_is_kept_too(tmp_path: Path) -> None:
    build(tmp_path / "a", lambda row: iter(()))
    assert build(tmp_path / "a", never).num_rows == 0


def test_two_processes_build_once(tmp_path: Path) -> None:
    path, side = tmp_path / "a", tmp_path / "side"
    processes = [start_builder(path, side, pause=2) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == [f"{2 * sum(range(100_000))}\n"] * 2
    assert side.read_text() == "built\n"


def test_killed_build_leaves_no_cache_and_the_next_cleans_up(tmp_path: Path) -> None:
    path, side = tmp_path / "a", tmp_path / "side"
    process = start_builder(path, side, pause=600)
    wait_for(side)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names(path) == ["00000.building"]
    assert build(path).num_rows == 10 * ROWS
    assert names(path) == [SHARD, "manifest.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_stopped_build_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def stopped(row: int) -> Iterator[pa.RecordBatch]:
        yield from batches(2)
        raise error("stop")

    with pytest.raises(error, match="stop"):
        build(tmp_path / "a", stopped)
    assert names(tmp_path) == []
    assert build(tmp_path / "a").num_rows == 10 * ROWS


def test_file_over_the_size_limit_names_folder_and_key(tmp_path: Path) -> None:
    """A write that the system refuses (EFBIG): Python ignores SIGXFSZ, so it comes as an OSError."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"data\.cache") as caught:
            build(tmp_path / "a")
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
            build(disk / "a")
        assert names(disk) == []
        assert build(disk / "a", lambda row: batches(1)).num_rows == ROWS
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_folder_that_is_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for path in (tmp_path / "taken", tmp_path / "taken" / "a"):
        with pytest.raises(UserError, match=r"data\.cache"):
            build(path)


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_damaged_file_is_built_anew(tmp_path: Path, keep: float, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path / "a")
    path = tmp_path / "a" / SHARD
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with caplog.at_level("WARNING"):
        assert build(tmp_path / "a").num_rows == 10 * ROWS
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


@pytest.mark.parametrize("torn", ["", "{", '["a"]', '{"shards": 1}'])
def test_damaged_manifest_loses_no_shard(tmp_path: Path, torn: str) -> None:
    build(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(torn)
    assert build(tmp_path / "a", never).num_rows == 10 * ROWS
    assert build(tmp_path / "a", never).num_rows == 10 * ROWS


def test_file_of_another_schema_is_built_anew(tmp_path: Path) -> None:
    build(tmp_path / "a")
    other = pa.schema([("text", pa.string())])
    batch = pa.record_batch([pa.array(["a"])], schema=other)
    assert build(tmp_path / "a", lambda row: iter([batch]), other)["text"].to_pylist() == ["a"]


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
