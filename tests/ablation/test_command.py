"""The command as a user runs it: killed midway and run again, it gives the figures of runs made one by one."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from research.ablation.results import Results
from research.run import CHOSEN
from research.terminal import run_command

ROOT = Path(__file__).parents[2]
GRID = """\
axes:
  objectives: {leave_one_out: [mlm]}
  lr: {calm: {}, wild: {model.optimisation.lr: 1.0e+38}}
exclude: [{objectives: -mlm, lr: wild}]
seeds: [1]
budget: {steps: 25}
metrics: {test/ce/accuracy: max, test/ce/loss: min}
baseline: {objectives: all}
"""


def start(grid, *options):
    line = [sys.executable, "-m", "research.cli", "ablate", "--config", str(grid), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(condition, process, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def rows(runs):
    """The most rows that a run which is not done has logged."""
    logs = [path for path in runs.glob("*/*/metrics.csv") if not (path.parent / "record.json").exists()]
    return max((path.read_text().count("\n") for path in logs), default=0)


def reference(tmp_path, name, *options):
    """The test figures and the right predictions of a run that no grid has made."""
    os.environ.pop(CHOSEN, None)
    common = ["--config", str(tmp_path / "question" / "base.yaml"), "--run.folder", str(tmp_path), "--run.name", name,
              "--seed_everything", "1", *options]  # fmt: skip
    for line in (
        ["fit", *common],
        ["test", *common, "--ckpt_path", "last"],
        ["predict", *common, "--ckpt_path", "last"],
    ):
        assert run_command(line) == 0
    lines = [json.loads(line) for line in (tmp_path / name / "predictions.jsonl").open()]
    with (tmp_path / name / "metrics.csv").open() as file:
        loss = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    answers = sorted((line for line in lines if line["stream"] == "intents"), key=lambda line: line["where"])
    right = "".join("1" if line["label"] == line["gold"] else "0" for line in answers)
    return json.loads((tmp_path / name / "test.json").read_text()), right, loss


def test_killed_midway_and_run_again(grid_file, one_thread, tmp_path, monkeypatch, capfd):
    grid, runs = grid_file(GRID), tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process = start(grid)
    wait_for(lambda: rows(runs) > 8, process)
    process.kill()
    process.communicate()
    assert not (grid.parent / "results.jsonl").exists()
    stopped = [path.parent for path in runs.glob("*/*/metrics.csv")]
    assert len(stopped) == 1

    assert run_command(["ablate", "--config", str(grid)]) == 1  # one arm fails
    said = capfd.readouterr()
    assert "all, wild, seed 1: FAILED" in said.out
    assert "the loss of" in said.err and "is not finite" in said.err
    assert "stopped by SIGTERM after step" in (stopped[0] / "log.txt").read_text()  # the kill's orphan saved itself
    results = Results.read(grid.parent / "results.jsonl")
    lines = {tuple(line["arm"].values()): line for line in results.runs}
    assert {arm: line["status"] for arm, line in lines.items()} == {
        ("all", "calm"): "done",
        ("all", "wild"): "failed",
        ("-mlm", "calm"): "done",
    }
    for arm, options in {("all", "calm"): [], ("-mlm", "calm"): ["--without", "[mlm]"]}.items():
        metrics, right, loss = reference(tmp_path, arm[0].strip("-"), *options)
        line = lines[arm]
        assert {name: line["metrics"][name] for name in metrics} == metrics
        assert line["examples"]["test/ce/accuracy"]["scores"] == right
        assert [value for value in line["curve"]["loss"] if value is not None] == loss
        assert line["cost"]["steps"] == 25
        assert not (grid.parent / line["run"] / "checkpoints").exists()

    table = (grid.parent / "results.md").read_text()
    assert run_command(["ablate", "--report", str(grid.parent)]) == 0
    assert (grid.parent / "results.md").read_text() == table

    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/*/record.json")}
    table = results.runs
    assert run_command(["ablate", "--config", str(grid), "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "3 arms, seeds 1: 3 runs, 2 done" in said
    assert "a run by those that are done" in said
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/*/record.json")} == before
    assert Results.read(grid.parent / "results.jsonl").runs == table


TEACHER = "{class_path: research.models.LiveTeacher, init_args: {checkpoint: %s/checkpoints/last.ckpt}}"
KD = "{class_path: research.objectives.Distillation, init_args: {stream: intents}}"
TAUGHT = f"""\
axes:
  kind:
    alone: {{}}
    soft: &taught {{model.teacher: {TEACHER % "'{first}'"}, model.objectives.kd: {KD}}}
    hard: {{<<: *taught, model.optimisation.lr: 2.0e-3}}
first: {{without: [mlm, nce], trainer.max_steps: 3}}
seeds: [1]
budget: {{steps: 4}}
metrics: {{test/ce/accuracy: max}}
""".replace("'{first}'/checkpoints/last.ckpt", '"{first}/checkpoints/last.ckpt"')


def test_a_teacher_is_trained_first_and_once(grid_file, one_thread, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    grid, runs = grid_file(TAUGHT), tmp_path / "runs"
    assert run_command(["ablate", "--config", str(grid)]) == 0
    said = capfd.readouterr().out
    assert "3 arms, seeds 1: 3 runs, 0 done; 1 more come first" in said
    assert "[4/4]" in said and said.index("[1/4] alone") < said.index("[2/4] base, seed 1: comes first, done")
    lines = {line["arm"]["kind"]: line for line in Results.read(grid.parent / "results.jsonl").runs}
    first = runs / "question" / lines["soft"]["first"]
    assert lines["hard"]["first"] == first.name and "first" not in lines["alone"]
    record = json.loads((first / "record.json").read_text())
    assert lines["soft"]["cost"]["first_seconds"] == record["cost"]["seconds"]
    assert record["cost"]["steps"] == 3
    assert not any(runs.glob("*/*/checkpoints"))  # no run waits for the teacher any more
    (first / "checkpoints").mkdir()  # as a kill leaves it before it is tidied
    assert run_command(["ablate", "--config", str(grid)]) == 0
    assert not any(runs.glob("*/*/checkpoints"))

    common = ["--config", str(grid.parent / "base.yaml"), "--run.folder", str(tmp_path), "--seed_everything", "1"]
    assert (
        run_command(["fit", *common, "--run.name", "teacher", "--without", "[mlm, nce]", "--trainer.max_steps", "3"])
        == 0
    )
    taught = [*common, "--run.name", "soft", "--trainer.max_steps", "4", "--model.objectives.kd", KD,
              "--model.teacher", TEACHER % (tmp_path / "teacher")]  # fmt: skip
    assert run_command(["fit", *taught]) == 0
    assert run_command(["test", *taught, "--ckpt_path", "last"]) == 0
    expected = json.loads((tmp_path / "soft" / "test.json").read_text())
    assert {name: lines["soft"]["metrics"][name] for name in expected} == expected


@pytest.mark.slow
def test_interrupted_with_two_workers(grid_file, tmp_path):
    grid, runs = grid_file(GRID.replace("seeds: [1]", "seeds: [1, 2]")), tmp_path / "runs"
    process = start(grid, "--workers", "2")
    wait_for(lambda: any(runs.glob("*/*/record.json")) and rows(runs) > 8, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "stopped" in said
    done = len([*runs.glob("*/*/record.json")])
    again = start(grid, "--workers", "2")
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 1
    assert f"3 arms, seeds 1, 2: 6 runs, {done} done" in said
    lines = Results.read(grid.parent / "results.jsonl").runs
    assert [line["status"] for line in lines] == ["done", "failed", "done"] * 2


@pytest.mark.slow
def test_a_fit_in_two_processes(grid_file):
    devices = "{trainer.devices: 2, trainer.strategy: ddp}"
    grid = grid_file(
        f"axes: {{x: {{two: {devices}}}}}\nseeds: [1]\nbudget: {{steps: 4}}\nmetrics: {{test/ce/accuracy: max}}\n"
    )
    process = start(grid)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    line = Results.read(grid.parent / "results.jsonl").runs[0]
    assert line["cost"]["steps"] == 4
    assert len(line["examples"]["test/ce/accuracy"]["scores"]) == 50  # every test text once
    accuracy = line["examples"]["test/ce/accuracy"]["scores"].count("1") / 50
    assert line["metrics"]["test/ce/accuracy"] == pytest.approx(accuracy)
