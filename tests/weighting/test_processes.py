"""Two processes with half the examples each, under DDP, do what one does with all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    pytest.importorskip("torchjd", reason="the extra torchjd is not installed")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def start(rank: int, world: int) -> "subprocess.Popen[str]":
        line = [
            sys.executable,
            str(Path(__file__).with_name("processes.py")),
            str(rank),
            str(world),
            str(tmp_path / "meet"),
        ]
        return subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    processes = [start(0, 1), start(0, 2), start(1, 2)]
    results = []
    for process in processes:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        results.append(json.loads(out))
    alone, *together = results
    for kind, expected in alone.items():
        for process in together:
            assert process[kind] == pytest.approx(expected, abs=2e-5), kind
    assert len({json.dumps(where) for where in alone.values()}) == len(alone), "weightings that make no difference"
