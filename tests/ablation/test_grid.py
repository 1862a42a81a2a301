"""The grid file against arms that were written out by hand, and what it refuses."""

import pytest

from research.ablation.design.grid import Grid
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
    assert second[2:] == ["--trainer.max_time", '{"seconds": 90}']


FIRST = """\
base: base.yaml
axes:
  task: {trec: {config: trec.yaml}, sst2: {config: sst2.yaml}}
  depth: {model.student.init_args.keep_layers: [[0], [0, 5]]}
  kind:
    alone: {}
    taught: {model.teacher.init_args.checkpoint: "{first}/checkpoints/last.ckpt"}
first: {axes: [task], config: teacher.yaml}
budget: {steps: 9}
seeds: [0]
metrics: {test/ce/accuracy: max}
"""


def test_a_run_that_comes_first_shares_the_axes_that_it_names(read, tmp_path):
    arms = {str(arm): arm for arm in read(FIRST).arms()}
    firsts = {name: arm.first for name, arm in arms.items() if arm.first is not None}
    assert [*firsts] == [f"{task}, {depth}, taught" for task in ("trec", "sst2") for depth in ("[0]", "[0, 5]")]
    assert arms["trec, [0], taught"].first == arms["trec, [0, 5], taught"].first
    assert firsts["sst2, [0], taught"].coordinates == {"task": "sst2"}
    folder = tmp_path / "question"
    assert firsts["sst2, [0], taught"].options == [
        "--config", f"{folder}/base.yaml", "--config", f"{folder}/sst2.yaml", "--trainer.max_steps", "9",
        "--trainer.max_epochs", "-1", "--config", f"{folder}/teacher.yaml",
    ]  # fmt: skip
    inside = FIRST.replace("first: {axes: [task], config: teacher.yaml}\n", "")
    inside = inside.replace("taught: {", "taught: {first: {config: teacher.yaml}, ")
    assert {arm.first.options[-1] for arm in read(inside).arms() if arm.first} == {f"{folder}/teacher.yaml"}
    both = FIRST.replace("alone: {}", "own: {first: {config: own.yaml}, model.teacher: '{first}'}")
    assert read(both).arms()[0].first.options[-1] == f"{folder}/own.yaml"  # rather than the grid's
    assert read(both.replace("own: {", "1: {")).arms()[0].first.options[-1] == f"{folder}/own.yaml"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "first: {axes: [task], config: teacher.yaml}\n",
            "",
            r"arm trec, \[0\], taught: {first} stands for a first run",
        ),
        ("axes: [task]", "axes: [tusk]", "grid.yaml:8: first.axes: there is no axis tusk; there are task, depth, kind"),
        ("axes: [task]", "axes: [kind]", "grid.yaml:8: first: {first} stands in its own options"),
    ],
)
def test_first_runs_that_cannot_be_are_refused(read, old, new, told):
    assert old in FIRST
    with pytest.raises(UserError, match=told):
        read(FIRST.replace(old, new))


def test_a_metric_may_be_the_mean_of_figures(read):
    grid = read(
        GRID.replace("{test/ce/accuracy: max}", "{test/mean: max, test/a/mcc: max}")
        + "means: {test/mean: [test/a/mcc, test/b/spearman]}"
    )
    assert grid.figures == ["test/a/mcc", "test/b/spearman", "test/a/mcc"]
    figures = {"test/a/mcc": 0.5, "test/b/spearman": 1.0}
    assert grid.measured(figures) == figures | {"test/mean": 0.75}
    assert grid.measured({"test/a/mcc": 0.5}) == {"test/a/mcc": 0.5}  # of a run that lacks a figure, no mean


def test_values_that_cannot_stand_in_a_table_are_refused(read):
    with pytest.raises(
        UserError, match=r"grid.yaml:6: axes.objectives: 'a\\nb' cannot stand in a table; give it a name"
    ):
        read(GRID.replace("{leave_one_out: [mlm, kd]}", '{"a\\nb": {}}'))
    with pytest.raises(UserError, match=r"axes\.lr: '' cannot stand in a table"):
        read(GRID.replace("[1.0e-4, 3.0e-4]", '[""]'))


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
        ("seeds: [3, 4]", "means: {test/m: [test/a/f1]}", "grid.yaml:9: means.test/m: must be one of the metrics, and"),
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
