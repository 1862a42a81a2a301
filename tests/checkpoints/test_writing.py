"""Whatever happens while a checkpoint is written, one that is whole can be found afterwards."""

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from research.checkpoints import LAST, PREVIOUS
from research.checkpoints.reading import load_checkpoint
from research.checkpoints.writing import AsyncCheckpointIO, AtomicCheckpointIO, unfinished, write_checkpoint
from research.errors import UserError

KILLED = """
import json, os, signal, sys, time
from pathlib import Path
import torch
from research.checkpoints import LAST, PREVIOUS
from research.checkpoints.reading import first_sound, load_checkpoint
from research.checkpoints.writing import AsyncCheckpointIO, AtomicCheckpointIO, unfinished

kind, folder = {"sync": AtomicCheckpointIO, "async": AsyncCheckpointIO}[sys.argv[1]], Path(sys.argv[2])
last, previous = folder / LAST, folder / PREVIOUS

def checkpoint(step):
    return {"hybrid": {}, "global_step": step, "state_dict": {str(i): torch.full((40_000,), step) for i in range(8)}}

def save_on(step, told):
    io = kind()
    while True:
        step += 1
        io.save_checkpoint(checkpoint(step), last)
        io.wait()
        os.write(told, b"%d\\n" % step)

kind.save_checkpoint(io := kind(), checkpoint(1), last)
io.wait()
for delay in json.loads(sys.argv[3]):
    path, found = first_sound([last, previous], load_checkpoint)
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        save_on(found["global_step"], told)
    os.close(told)
    said = os.read(reading, 20)  # it writes now
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 1000):
        said += more
    os.close(reading)
    path, found = first_sound([last, previous], load_checkpoint)
    whole = all(bool((tensor == found["global_step"]).all()) for tensor in found["state_dict"].values())
    row = {"said": int(said.split()[-1]), "found": found["global_step"], "whole": whole, "name": path.name,
           "torn": unfinished(last).exists()}
    print(json.dumps(row))
"""


def checkpoint(step: int = 1, size: int = 5000) -> dict:
    return {"hybrid": {}, "global_step": step, "state_dict": {"w": torch.full((size,), float(step))}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_killed_while_it_writes(tmp_path: Path, kind: str) -> None:
    """``kill -9`` of a process that does nothing but write, at random moments, again and again."""
    rng = random.Random(7)
    delays = json.dumps([rng.uniform(0, 0.03) for _ in range(30)])
    line = [sys.executable, "-c", KILLED, kind, str(tmp_path), delays]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert len(rows) == 30
    assert all(row["whole"] for row in rows)
    assert all(row["found"] in (row["said"], row["said"] + 1) for row in rows)  # the next one may be there unsaid
    assert sum(row["torn"] for row in rows) > 3, "the kills came between the writes and show nothing"
    print(f"{sum(row['torn'] for row in rows)} kills left a torn file behind")


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    io = AtomicCheckpointIO()
    for step in (1, 2, 3):
        io.save_checkpoint(checkpoint(step), tmp_path / LAST)
    io.save_checkpoint(checkpoint(3), tmp_path / "best.ckpt")
    assert names(tmp_path) == ["best.ckpt", LAST, PREVIOUS]
    assert [load_checkpoint(tmp_path / name)["global_step"] for name in (LAST, PREVIOUS)] == [3, 2]


@pytest.mark.parametrize("kind", [AtomicCheckpointIO, AsyncCheckpointIO])
def test_full_disk(tmp_path: Path, kind: type[AtomicCheckpointIO]) -> None:
    """What is written goes to /dev/full, which the kernel answers as it does for a full disk."""
    io, last = kind(), tmp_path / LAST
    for step in (1, 2):
        io.save_checkpoint(checkpoint(step), last)
    io.wait()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    unfinished(last).symlink_to("/dev/full")
    io.save_checkpoint(checkpoint(3), last)
    io.wait()
    told = str(io.error)
    assert told.startswith(f"{last}: the checkpoint cannot be written (No space left on device; ")
    assert told.endswith(f" GB free in {tmp_path}); the one before it is kept; free disk space or set run.folder")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    io.remove_checkpoint(last)  # as Lightning does once it has saved a better one
    assert last.exists()
    io.save_checkpoint(checkpoint(4), last)
    io.wait()
    assert io.error is None and load_checkpoint(last)["global_step"] == 4


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/last.ckpt: the checkpoint cannot be written \(File exists; "):
        write_checkpoint(checkpoint(), tmp_path / "file" / LAST)


def test_training_goes_on_while_a_thread_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk holds the thread up; the file is the one that would have been written at once."""
    weight = torch.arange(50_000.0)
    given = {"hybrid": {"steps": [1]}, "state_dict": {"w": weight, "tied": weight, "part": weight[10:20]}}
    expected = tmp_path / "expected.ckpt"
    write_checkpoint(given, expected)
    disk, sync = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: disk.wait(10) and sync(file))
    io, last = AsyncCheckpointIO(), tmp_path / LAST
    io.save_checkpoint(given, last)
    assert not last.exists()
    weight += 1
    given["hybrid"]["steps"].append(2)
    disk.set()
    io.teardown()
    assert last.read_bytes() == expected.read_bytes()


def test_exit_waits_for_the_thread(tmp_path: Path) -> None:
    code = """
import sys, pathlib, os, time, torch
from research.checkpoints.writing import AsyncCheckpointIO
sync = os.fsync
os.fsync = lambda file: (time.sleep(0.5), sync(file))
AsyncCheckpointIO().save_checkpoint({"hybrid": {}, "w": torch.ones(9)}, pathlib.Path(sys.argv[1]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / LAST)], check=True, env=environment, timeout=60)
    assert load_checkpoint(tmp_path / LAST)["w"].sum() == 9
