"""The search of a grid file against Optuna's distributions written out by hand, and what it refuses."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from research.ablation.design.grid import Grid
from research.errors import UserError

GRID = """\
base: base.yaml
axes:
  task:
    trec: {config: trec.yaml}
    sst2: {config: sst2.yaml}
  objectives: {leave_one_out: [mlm, kd]}
  lr: {model.optimisation.lr: [1.0e-4, 3.0e-4]}
exclude: [{task: sst2, objectives: -kd}]
metrics: {test/ce/accuracy: max}
search:
  metric: {validation/ce/loss: min}
  space:
    model.optimisation.lr: {low: 1.0e-5, high: 1.0e-3, log: true}
    data.streams.task.init_args.batch_size: {low: 4, high: 16, step: 4}
  fixed: {task: sst2}
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "question" / "grid.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Grid.read(path)

    return read


def test_axes_and_ranges_are_what_optuna_draws_from(read):
    grid = read(GRID)
    search = grid.search
    assert (search.figure, search.direction, search.trials) == ("validation/ce/loss", "minimize", 30)
    assert [list(arm.coordinates.values()) for arm in search.arms(grid.arms())] == [
        ["sst2", "all", "0.0001"],
        ["sst2", "-mlm", "0.0001"],
    ]  # the range takes the place of the axis lr, whatever value it keeps
    assert search.distributions(grid.arms()) == {
        "objectives": CategoricalDistribution(["all", "-mlm"]),
        "model.optimisation.lr": FloatDistribution(1e-5, 1e-3, log=True),
        "data.streams.task.init_args.batch_size": IntDistribution(4, 16, step=4),
    }
    drawn = {"objectives": "all", "model.optimisation.lr": 2.5e-5, "data.streams.task.init_args.batch_size": 8}
    assert search.options(drawn) == [
        "--model.optimisation.lr", "2.5e-05", "--data.streams.task.init_args.batch_size", "8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "validation/ce/loss",
            "test/ce/loss",
            "grid.yaml:11: search.metric: test/ce/loss; give one validation/... f",
        ),
        ("{validation/ce/loss: min}", "{}", "grid.yaml:11: search.metric: none; give one"),
        ("{validation/ce/loss: min}", "{validation/a: min, validation/b: max}", "search.metric: validation/a, validat"),
        ("task: sst2}\n", "task: sst3}\n", "grid.yaml:15: search.fixed.task: no value is called sst3; there are trec"),
        ("task: sst2}\n", "task: sst2, objectives: -kd}\n", "grid.yaml:15: search.fixed: no arm is left"),
        ("log: true", "log: maybe", "grid.yaml:13: search.space.model.optimisation.lr.log is maybe; it must be true"),
        ("low: 1.0e-5", "low: 0", "grid.yaml:13: search.space.model.optimisation.lr: a logarithmic range starts above"),
        ("high: 16", "high: 4", "grid.yaml:14: search.space.data.*batch_size: from 4 to 4; low must be a number below"),
        ("step: 4", "step: 0", "grid.yaml:14: search.space.data.*batch_size.step is 0; it must be above 0"),
        ("step: 4", "steps: 4", "grid.yaml:14: search.space.data.*batch_size: low, high, steps; a range is {low:"),
        ("  fixed:", "  trials: 0\n  fixed:", "search.trials is 0; it must be at least 1"),
        ("  fixed:", "  seeds: [1, 1]\n  fixed:", r"search.seeds: \[1, 1\]; give at least one, and none twice"),
        ("  fixed:", "  trails: 3\n  fixed:", "trails"),
    ],
)
def test_bad_searches_are_refused_in_one_line(read, old, new, told):
    assert old in GRID
    with pytest.raises(UserError, match=told) as caught:
        read(GRID.replace(old, new))
    assert "\n" not in str(caught.value)
