"""Searches of the tiny config, whose trials run in this process one after the other."""

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

optuna = pytest.importorskip("optuna", reason="the extra ablation is not installed")

from optuna.trial import TrialState  # noqa: E402

from research.ablation.design.grid import Grid  # noqa: E402
from research.ablation.design.plan import Plan  # noqa: E402
from research.ablation.running.job import run  # noqa: E402
from research.ablation.search.development import Development  # noqa: E402
from research.ablation.search.study import Study  # noqa: E402
from research.ablation.search.trials import write  # noqa: E402
from research.ablation.search.tune import study_of  # noqa: E402
from research.errors import UserError  # noqa: E402
from research.run import CHOSEN  # noqa: E402
from research.terminal import run_command  # noqa: E402

GRID = """\
base: base.yaml
axes: {objectives: {leave_one_out: [mlm, nce]}}
seeds: [0]
budget: {steps: 4}
metrics: {test/ce/accuracy: max}
search:
  metric: {validation/ce/loss: min}
  space: {model.optimisation.lr: {low: 1.0e-5, high: 1.0e-1, log: true}}
  trials: 3
"""
ONE = GRID.replace("trials: 3", "trials: 1")


@pytest.fixture
def grid_of(tmp_path, slices, monkeypatch):
    """``grid_of(GRID, "name", train=..., test=...)``: a grid in a folder of its own; the process is in its parent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CHOSEN, raising=False)

    def grid_of(text=GRID, name="question", train=None, test=None):
        base = (Path(__file__).parents[1] / "integration" / "tiny.yaml").read_text().replace("SLICES", str(slices))
        base = yaml.safe_load(base.replace("val_check_interval: 5", "val_check_interval: 2"))
        task = base["data"]["streams"]["intents"]["init_args"]
        task["source"]["init_args"]["paths"] = str(train or slices / "banking77" / "train.csv")
        task |= {"validation": 0.3} | ({"test": test} if isinstance(test, float) else {})
        if isinstance(test, str):
            task["test"]["init_args"]["paths"] = test
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "base.yaml").write_text(yaml.safe_dump(base))
        (tmp_path / name / "grid.yaml").write_text(text)
        return Grid.read(Path(name) / "grid.yaml", "--runs", f"{name}/runs")

    return grid_of


def search(grid):
    """What is missing of the search."""
    study = Study(grid)
    for attempt in study.runs():
        study.ended(attempt, run_here(attempt.job))
    return study


def run_here(job):
    job.folder.mkdir(exist_ok=True)
    return run(job)


def trials_of(study):
    return [(t.params, t.value, t.state, t.intermediate_values) for t in study.trials()]


def test_search_reads_no_test_source(grid_of):
    """There is no such file: the grid's own runs say so, and the search does not find out."""
    grid = grid_of(ONE, test="/nowhere/test.csv")
    with pytest.raises(UserError, match=r"/nowhere/test.csv"):
        Plan(grid)
    study = search(grid)
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE]
    assert not [path.name for path in study.folder.rglob("test.json")]


@pytest.mark.slow
def test_search_does_not_see_a_test_share(grid_of, slices, tmp_path):
    """With the labels of all texts in the share swapped for others, every figure of a search stays as it was."""
    before = grid_of(ONE, "before", test=0.3)
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = Development(before.arms()[0]).datamodule
    data.prepare_data()
    data.setup()
    stream = data.streams["intents"]
    held_out = [int(stream.where("test", i).rpartition(":")[2]) for i in range(len(stream.rows["test"][1]))]
    labels = sorted({row["category"] for row in rows})
    for line in held_out:
        rows[line - 2]["category"] = labels[(labels.index(rows[line - 2]["category"]) + 1) % len(labels)]
    with (tmp_path / "swapped.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    after = grid_of(ONE, "after", tmp_path / "swapped.csv", test=0.3)
    assert len(held_out) > 5
    assert trials_of(search(before)) == trials_of(search(after))


@pytest.mark.slow
def test_stopped_search_goes_on_as_if_it_had_not_been_and_its_best_settings_give_the_same_again(grid_of):
    """Stopped in the middle of a run, which saves itself, and between two runs."""
    whole = search(grid_of(name="whole"))

    study = Study(grid := grid_of(name="stopped"))
    first = next(study.runs())
    watch = threading.Thread(target=stop_when_it_trains, args=(first.job.folder,))
    watch.start()
    status = run_here(first.job)
    watch.join()
    assert status == 128 + signal.SIGTERM and not first.job.done
    study.ended(first, status)
    assert [trial.state for trial in study.trials()] == [TrialState.RUNNING]

    study = Study(grid)
    runs = study.runs()
    first = next(runs)
    study.ended(first, run_here(first.job))
    next(runs)  # and nobody runs it
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE, TrialState.RUNNING]

    study = search(grid)
    assert trials_of(study) == trials_of(whole)
    assert len({json.dumps(params) for params, *_ in trials_of(study)}) == 3

    write(study, ["--config", "stopped/grid.yaml", "--search"])
    lines = [json.loads(line) for line in Path("stopped/search.jsonl").read_text().splitlines()]
    best = min(lines[1:], key=lambda line: line["value"])
    assert lines[0]["metric"] == {"validation/ce/loss": "min"} and lines[0]["command"].endswith("--search")
    again = ["--config", "stopped/best.yaml", "--seed_everything", "0", "--run.folder", "runs", "--run.name", "again",
             "--run.wandb", "disabled"]  # fmt: skip
    assert run_command(["fit", *again]) == 0
    assert run_command(["validate", *again, "--ckpt_path", "last"]) == 0
    assert json.loads(Path("runs/again/validation.json").read_text())["validation/ce/loss"] == best["value"]
    table = Path("stopped/search.md").read_text().splitlines()
    assert table[2].startswith(f"| {best['trial']} | done | {best['value']:.4g} | ")


def stop_when_it_trains(folder):
    while not (folder / "metrics.csv").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


def test_trial_that_the_pruner_gives_up_is_not_the_best_and_settings_are_tried_once(grid_of):
    text = """\
base: base.yaml
axes: {lr: {model.optimisation.lr: [1.0e-5, 1.0e-3]}}
budget: {steps: 4}
metrics: {test/ce/accuracy: max}
search:
  metric: {validation/ce/loss: min}
  trials: 8
  pruner: {class_path: optuna.pruners.ThresholdPruner, init_args: {upper: 0.0, n_warmup_steps: 1}}
"""
    grid = grid_of(text)
    study = search(grid)
    assert {trial.state for trial in study.trials()} == {TrialState.PRUNED}
    assert len(study.trials()) == 8 and len(list(study.folder.glob("*-0"))) == 2
    assert json.loads((study.folder / "0-0" / "fit.json").read_text())["steps"] == 2
    write(study, [])
    assert not Path("question/best.yaml").exists()
    assert "| 0 | pruned after step 2 | " in Path("question/search.md").read_text()


def test_arms_that_the_grid_excludes_are_not_run(grid_of):
    text = ONE.replace("axes: {", "axes: {size: {data.streams.intents.init_args.batch_size: [2, 4]}, ")
    out = "{size: 2, objectives: all}, {size: 4, objectives: -mlm}, {size: 4, objectives: -nce}"
    study = Study(grid_of(text.replace("trials: 1", f"trials: 6\nexclude: [{out}]")))
    seen = [attempt.arm.coordinates for attempt in study.runs()]
    assert len(seen) == 6
    assert {tuple(arm.values()) for arm in seen} <= {("2", "-mlm"), ("2", "-nce"), ("4", "all")}
    assert len(study.study.trials) > 6


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("validation/ce/loss", "validation/kd/loss", "search.metric.validation/kd/loss: no arm has an objective 'kd'"),
        ("model.optimisation.lr:", "model.optimisation.rate:", "arm all: model.optimisation.rate: not accepted"),
        ("  space: {", "  fixed: {objectives: all} #", "search: nothing to look for; give search.space, or an axis"),
    ],
)
def test_searches_that_cannot_run_are_refused_before_they_start(grid_of, old, new, told):
    assert old in ONE
    with pytest.raises(UserError, match=told):
        Study(grid_of(ONE.replace(old, new)))
    assert not Path("question/runs").exists()


def test_validation_that_is_the_test_split_is_refused(grid_of, slices):
    grid = grid_of(ONE)
    base = yaml.safe_load(Path("question/base.yaml").read_text())
    task = base["data"]["streams"]["intents"]["init_args"]
    task["validation"] = task["test"]
    Path("question/base.yaml").write_text(yaml.safe_dump(base))
    with pytest.raises(UserError, match=r"arm all: data.streams.intents.init_args.validation: the same source as test"):
        Study(grid)


def test_without_optuna_the_error_names_the_extra(grid_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "research.ablation.search.study")
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[ablation\]'"):
        study_of(grid_of(ONE))
