"""The drill, with a few faults of each kind."""

import importlib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "faults"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``script("drill")`` is the folder's drill.py, as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_a_loader_worker_is_killed(script: Any, tmp_path: Path) -> None:
    trial = script("trial").Trial("gpt2", "sampled", 1, tmp_path, steps=30, workers=1)
    trial.leave_alone()
    assert trial.disturb(["worker"], seed=1)
    (fault,) = trial.found
    assert fault["exit status"] == 1 and 0 <= fault["steps lost"] <= 5 and not fault["left running"], fault
    (told,) = fault["said"]
    assert told.startswith("error: a loader's worker (pid ") and told.endswith("--ckpt_path last")
    metrics = trial.newest("disturbed") / "metrics.csv"
    metrics.write_text(metrics.read_text().replace(",0.", ",1."))
    assert not trial.same()


def test_the_first_process_of_two_is_killed(script: Any, tmp_path: Path) -> None:
    trial = script("trial").Trial("bert", "joint", 2, tmp_path, steps=30)
    trial.leave_alone()
    assert trial.disturb(["rank 0"], seed=2)
    (fault,) = trial.found
    assert fault["exit status"] != 0 and not fault["left running"] and fault["steps lost"] <= 5
    assert any("the connection to another process of this run is lost" in line for line in fault["said"])


@pytest.mark.slow
def test_the_other_kinds(script: Any, tmp_path: Path) -> None:
    drill = script("drill")
    for family, mode, on in zip(("t5", "bert", "gpt2"), ("joint", "sampled", "joint"), drill.FAULTS, strict=True):
        done = drill.drill(family, mode, on, tmp_path)
        assert done["equal"] and len(done["faults"]) == len(drill.FAULTS[on])


def test_the_table_counts_what_was_not_equal(script: Any) -> None:
    fault = {"fault": "all", "at step": 7, "steps lost": 2, "seconds to end": 0.1, "exit status": -9,
             "left running": 0}  # fmt: skip
    run = {"family": "bert", "mode": "joint", "on": "one process", "faults": [fault]}
    runs = [run | {"equal": True}, run | {"equal": False, "faults": [fault | {"steps lost": 5}]}]
    lines = script("drill").page({"command": "c", "commit": "x", "runs": runs})
    assert "| `kill -9` of all processes | one process | 2 | 1 | 5 | 0.1 | 0 | -9 |" in lines
    assert any("2 faults, 2 of them `kill -9`, in 2 runs: 1 of these" in line for line in lines)


def test_the_slope_is_that_of_the_samples(script: Any) -> None:
    """30 MB an hour under a ripple, after a warm-up that grows fast."""
    names = script("soak").WATCHED
    samples = [{"seconds": 10.0 * i, **dict.fromkeys(names, 100 + min(i, 60) * 5 + i / 12 + i % 2)} for i in range(360)]
    found = script("soak").slope(samples, "memory")
    assert abs(found["slope"] - 30) <= max(found["half"], 0.5) and found["half"] < 3
