"""One arm alone, by the command that W&B's agent builds: it is the grid's own run."""

import os

import pytest
import yaml

from research.ablation.design.grid import Grid
from research.ablation.design.plan import Plan
from research.ablation.sweeps.agent import searched
from research.run import CHOSEN
from research.terminal import run_command

GRID = """\
axes:
  objectives: {leave_one_out: [mlm, nce]}
  lr: {model.optimisation.lr: [1.0e-4, 3.0e-4]}
exclude: [{objectives: -mlm, lr: 3.0e-4}]
seeds: [3, 4]
budget: {steps: 2}
metrics: {test/ce/accuracy: max}
search:
  metric: {validation/mlm/loss: min}
  space: {model.optimisation.lr: {low: 1.0e-5, high: 1.0e-1, log: true}}
"""


@pytest.fixture
def ablate(grid_file, monkeypatch):
    monkeypatch.delenv(CHOSEN, raising=False)
    monkeypatch.delenv("HYBRID_TRACEBACK", raising=False)
    grid = grid_file(GRID)
    return lambda *options: run_command(["ablate", "--config", str(grid), *options])


def test_arm_is_the_run_of_the_grid(ablate, tmp_path):
    assert ablate("--arm", "objectives=-nce", "lr=0.0003", "seed=4") == 0
    assert not {CHOSEN, "HYBRID_TRACEBACK"} & os.environ.keys()
    plan = Plan(Grid.read(tmp_path / "question" / "grid.yaml"))
    (done,) = (run for run in plan.runs if run.job.done)
    assert (done.arm.coordinates, done.seed) == ({"objectives": "-nce", "lr": "0.0003"}, 4)
    config = yaml.safe_load((done.job.folder / "config.yaml").read_text())
    assert config["run"]["group"] == "question"
    assert config["run"]["tags"] == ["objectives=-nce", "lr=0.0003"]
    written = (done.job.folder / "record.json").stat().st_mtime_ns
    assert ablate("--arm", "objectives=-nce", "lr=0.0003", "seed=4") == 0  # nothing is run again
    assert (done.job.folder / "record.json").stat().st_mtime_ns == written


def test_arm_of_a_search_sees_no_test_split(ablate, tmp_path):
    drawn = "model.optimisation.lr=2.5e-05"
    assert ablate("--search", "--arm", "objectives=-nce", drawn) == 0
    (record,) = (tmp_path / "runs" / "question" / "search").glob("*/record.json")
    config = yaml.safe_load((record.parent / "config.yaml").read_text())
    assert config["model"]["optimisation"]["lr"] == 2.5e-05
    assert config["data"]["streams"]["intents"]["init_args"]["test"] == 0.0
    assert (record.parent / "validation.json").exists() and not (record.parent / "test.json").exists()


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["objectives=-nce", "lr=0.0003"], "--arm: give seed=N, one of 3, 4"),
        (["objectives=-nce", "lr=0.0003", "seed=9"], "--arm: give seed=N, one of 3, 4"),
        (["lr=0.0003", "seed=3"], "--arm objectives=: must be one of all, -mlm, -nce"),
        (["objectives=all", "lr=0.0003", "size=3", "seed=3"], "--arm size=3: must be an axis, of objectives, lr"),
        (["--search", "objectives=all"], "--arm: give model.optimisation.lr=VALUE"),
    ],
)
def test_pairs_that_name_no_run_are_refused(ablate, capsys, pairs, told):
    more = [pair for pair in pairs if pair == "--search"]
    assert ablate(*more, "--arm", *(pair for pair in pairs if pair not in more)) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"error: {told}"


def test_a_whole_number_may_come_with_its_point(grid_file):
    key = "data.streams.wiki.init_args.batch_size"
    space = f"search: {{metric: {{validation/mlm/loss: min}}, space: {{{key}: {{low: 2, high: 4}}}}}}\n"
    grid = Grid.read(grid_file("axes: {}\nmetrics: {validation/mlm/loss: min}\n" + space))
    one, other = (searched(grid, {key: value})[0] for value in ("4", "4.0"))
    assert one.key == other.key and one.options == other.options


def test_search_that_is_not_there_or_not_for_slurm_is_refused(ablate, capsys, tmp_path):
    assert ablate("--search", "--slurm") == 2
    assert capsys.readouterr().err.startswith("error: --slurm runs all arms of a grid; a search")
    path = tmp_path / "question" / "grid.yaml"
    path.write_text(path.read_text().partition("search:")[0])
    assert ablate("--search") == 2
    assert "grid.yaml: has no search; add one, with metric: {validation/...: max}" in capsys.readouterr().err


def test_arm_that_the_grid_excludes_is_no_failure(ablate, capsys):
    assert ablate("--arm", "objectives=-mlm", "lr=0.0003", "seed=3") == 0
    assert "excludes objectives=-mlm, lr=0.0003, seed=3" in capsys.readouterr().out
