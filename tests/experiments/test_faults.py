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
@pytest.mark.parametrize("on", [
    "one process", "two processes", "two under torchrun", "two, shards", "two, shards beside", "one, beside",
    "one, streamed", "one, W&B silent", "one, guard skips", "one, guard rolls back",
])  # fmt: skip
def test_each_way(script: Any, tmp_path: Path, on: str) -> None:
    drill = script("drill")
    way = drill.WAYS[on]
    done = drill.drill(*way.runs[-1], on, tmp_path)
    assert done["equal"] and [fault["fault"] for fault in done["faults"]] == list(way.faults), done
    for fault in done["faults"]:
        assert not fault["left running"] and fault["seconds to end"] < 120, fault
        full = [line for line in fault["said"] if "cannot be written" in line]
        assert bool(full) == (fault["fault"] == "disk full")
    if "guard" in on:
        bad = done["bad steps"]
        assert bad["not_finite"] and bad["spikes"] and bool(bad["rolled_back"]) == (on == "one, guard rolls back")


def test_no_way_is_left_untested(script: Any) -> None:
    (marks,) = (mark for mark in test_each_way.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert set(marks.args[1]) == script("drill").WAYS.keys()


def test_the_table_counts_what_was_not_equal(script: Any) -> None:
    """A loader's worker is none of the run's own processes."""
    fault = {"fault": "all", "at step": 7, "steps lost": 2, "seconds to end": 0.1, "exit status": -9,
             "left running": 0}  # fmt: skip
    run = {"family": "bert", "mode": "joint", "on": "one process", "command": "c", "commit": "x", "bad steps": None,
           "faults": [fault, fault | {"fault": "worker"}]}  # fmt: skip
    runs = [run | {"equal": True}, run | {"equal": False, "faults": [fault | {"steps lost": 5}]}]
    lines = script("drill").page(runs)
    assert "| `kill -9` of all processes | one process | 2 | 1 | 5 | 0.1 | 0 | -9 |" in lines
    counted = "3 faults, 2 of them `kill -9` of a run or of a rank and 1 of a loader's worker, in 2 runs: 1 of these"
    assert any(counted in line for line in lines)


def test_the_slope_is_that_of_the_samples(script: Any) -> None:
    """30 MB an hour under a ripple, after a warm-up that grows fast."""
    names = script("soak").WATCHED
    samples = [{"seconds": 10.0 * i, **dict.fromkeys(names, 100 + min(i, 60) * 5 + i / 12 + i % 2)} for i in range(360)]
    found = script("soak").slope(samples, "memory")
    assert abs(found["slope"] - 30) <= max(found["half"], 0.5) and found["half"] < 3
