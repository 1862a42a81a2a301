"""The grid file against arms that were written out by hand, and what it refuses."""

import pytest

from research.ablation.grid import Grid
from research.errors import UserError

GRID = """\
base: base.yaml
axes:
  task:
    trec: {config: trec.yaml}
    sst2: {config: [sst2.yaml, long.yaml], data.num_workers: 2}
  objectives: {leave_one_out: [mlm, kd]}
  lr: {model.optimisation.lr: [1.0e-4, 3.0e-4]}
exclude: [{task: sst2, lr: 3.0e-4}, {objectives: -kd, lr: 1.0e-4}]
seeds: [3, 4]
seed_keys: [data.streams.task.init_args.shots_seed]
budget: {steps: 200}
metrics: {test/ce/accuracy: max}
baseline: {objectives: all}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, *options):
        path = tmp_path / "question" / "grid.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Grid.read(path, *options)

    return read


def test_arms_are_the_product_without_what_is_excluded(read, tmp_path):
    grid = read(GRID)
    assert [tuple(arm.coordinates.values()) for arm in grid.arms()] == [
        ("trec", "all", "0.0001"),
        ("trec", "all", "0.0003"),
        ("trec", "-mlm", "0.0001"),
        ("trec", "-mlm", "0.0003"),
        ("trec", "-kd", "0.0003"),
        ("sst2", "all", "0.0001"),
        ("sst2", "-mlm", "0.0001"),
    ]
    folder = tmp_path / "question"
    assert grid.arms()[-1].options == [
        "--config", f"{folder}/base.yaml", "--config", f"{folder}/sst2.yaml", "--config", f"{folder}/long.yaml",
        "--data.num_workers", "2", "--without", '["mlm"]', "--model.optimisation.lr", "0.0001",
        "--trainer.max_steps", "200", "--trainer.max_epochs", "-1",
    ]  # fmt: skip
    assert grid.seeded(4) == ["--seed_everything", "4", "--data.streams.task.init_args.shots_seed", "4"]
    assert grid.name == "question"
    assert grid.results == folder / "results.jsonl"
    assert grid.baseline == {"objectives": "all"}


def test_leave_one_out_and_add_one_in_together(read):
    grid = read(GRID.replace("{leave_one_out: [mlm, kd]}", "{leave_one_out: [mlm, kd], add_one_in: [mlm, kd, nce]}"))
    assert {name: options[1:] for name, options in grid.values("objectives").items()} == {
        "all": [],
        "-mlm": ['["mlm"]'],
        "-kd": ['["kd"]'],
        "none": ['["mlm", "kd", "nce"]'],
        "+mlm": ['["kd", "nce"]'],
        "+kd": ['["mlm", "nce"]'],
        "+nce": ['["mlm", "kd"]'],
    }


def test_values_that_are_mappings_or_null_and_seconds(read):
    axes = "axes: {w: {model.weighting: [null, {class_path: research.weighting.UncertaintyWeighting}]}}"
    head = GRID.partition("axes:")[0]
    grid = read(head + axes + "\nbudget: {seconds: 90}\nmetrics: {test/ce/accuracy: max}\n")
    first, second = (arm.options[2:] for arm in grid.arms())
    assert first[:2] == ["--model.weighting", "null"]
    assert second[:2] == ["--model.weighting", '{"class_path": "research.weighting.UncertaintyWeighting"}']
    assert second[2:] == ["--trainer.max_time", '{"seconds": 90.0}']


def test_the_command_line_overrules_the_file(read):
    assert read(GRID, "--seeds", "[9]").seeds == [9]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds: [3, 4]", "seds: [3, 4]", r"grid.yaml:9: seds: not accepted; did you mean seeds\?"),
        ("seeds: [3, 4]", "seeds: [3, 3]", r"grid.yaml:9: seeds: \[3, 3\]; give at least one, and none twice"),
        ("steps: 200", "step: 200", r"grid.yaml:11: budget.step: not accepted; did you mean (budget.)?steps\?"),
        ("steps: 200", "steps: 0", "grid.yaml:11: budget: 0; it must be above 0"),
        ("steps: 200", "steps: 2, seconds: 3", "grid.yaml:11: budget: give either steps or seconds"),
        ("test/ce/accuracy: max", "ce/accuracy: max", "grid.yaml:12: metrics.ce/accuracy: a metric is called test/"),
        ("test/ce/accuracy: max", "test/ce/accuracy: up", "metrics.*must be one of 'max', 'min'|max"),
        ("{objectives: all}", "{objectives: every}", "baseline.objectives: no value is called every; there are all, -"),
        ("{objectives: all}", "{losses: all}", "grid.yaml:13: baseline.losses: no such axis; there are task, obj"),
        ("task: sst2, lr", "task: sst3, lr", r"grid.yaml:8: exclude\[0\].task: no value is called sst3; there are tr"),
        ("{config: trec.yaml}", "trec.yaml", "grid.yaml:4: axes.task.trec: must be a mapping of keys to values"),
        ("[1.0e-4, 3.0e-4]", "[]", "grid.yaml:7: axes.lr.model.optimisation.lr: must be a list of values, at least"),
        ("[mlm, kd]", "[mlm, 3]", "grid.yaml:6: axes.objectives.leave_one_out: must be names of objectives"),
        ("exclude: [", "exclude: [{task: trec}, {task: sst2}, ", "grid.yaml:8: exclude: no arm is left"),
        ("base: base.yaml\n", "", "base"),
    ],
)
def test_bad_grids_are_refused_in_one_line(read, old, new, told):
    assert old in GRID
    with pytest.raises(UserError, match=told) as caught:
        read(GRID.replace(old, new))
    assert "\n" not in str(caught.value)
