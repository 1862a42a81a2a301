"""The sweep file against W&B's own agent, which makes the command, and its schema where that package is installed."""

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from research.ablation.design.grid import Grid
from research.ablation.sweeps.sweep import sweep, write
from research.errors import UserError

GRID = """\
base: base.yaml
axes:
  task:
    trec: {config: trec.yaml}
    sst2: {config: sst2.yaml, data.num_workers: 2}
  objectives: {leave_one_out: [mlm, kd]}
  lr: {model.optimisation.lr: [1.0e-4, 3.0e-4]}
seeds: [3, 4]
metrics: {test/ce/accuracy: max}
search:
  metric: {validation/ce/accuracy: max}
  space:
    model.optimisation.lr: {low: 1.0e-5, high: 1.0e-3, log: true}
    model.optimisation.head_lr: {low: 0.0, high: 1.0, step: 0.25}
    data.streams.task.init_args.batch_size: {low: 4, high: 16}
    model.student.init_args.mixout: {low: 0, high: 0.5}
  fixed: {task: sst2}
  trials: 12
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "question" / "grid.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Grid.read(path)

    return read


def test_grid_has_each_arm_and_seed_and_its_command_names_the_arm(read):
    grid = read(GRID)
    made = yaml.safe_load(write(grid, searching=False).read_text())
    assert made["method"] == "grid"
    assert {name: values["values"] for name, values in made["parameters"].items()} == {
        "task": ["trec", "sst2"],
        "objectives": ["all", "-mlm", "-kd"],
        "lr": ["0.0001", "0.0003"],
        "seed": [3, 4],
    }
    drawn = {name: {"value": values["values"][-1]} for name, values in made["parameters"].items()}
    command = agent_command(made, drawn)
    assert command[:7] == ["/usr/bin/env", "python", "-m", "research.cli", "ablate", "--config", str(grid.path)]
    assert command[7:] == ["--arm", "task=sst2", "objectives=-kd", "lr=0.0003", "seed=4"]


def test_search_has_ranges_and_its_own_metric(read):
    made = sweep(read(GRID), searching=True)
    assert (made["method"], made["run_cap"]) == ("bayes", 12)
    assert made["metric"] == {"name": "validation/ce/accuracy", "goal": "maximize"}
    assert made["parameters"] == {
        "objectives": {"values": ["all", "-mlm", "-kd"]},
        "model.optimisation.lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-3},
        "model.optimisation.head_lr": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25},
        "data.streams.task.init_args.batch_size": {"distribution": "q_uniform", "min": 4, "max": 16, "q": 1},
        "model.student.init_args.mixout": {"distribution": "uniform", "min": 0, "max": 0.5},
    }
    assert "--search" in agent_command(made, {})


@pytest.mark.parametrize("searching", [False, True])
def test_schema_of_wandb(read, searching):
    """The package ``sweeps`` is W&B's local controller; it holds the schema that the server checks."""
    cfg = pytest.importorskip("sweeps.config.cfg")
    assert cfg.schema_violations_from_proposed_config(sweep(read(GRID), searching)) == []
    assert cfg.schema_violations_from_proposed_config(sweep(read(GRID), searching) | {"method": "guess"})


def test_axis_that_is_called_seed_is_refused(read):
    with pytest.raises(UserError, match=r"axes.seed: a sweep has an axis of that name"):
        sweep(read(GRID.replace("  lr: {", "  seed: {")), searching=False)


def agent_command(made, drawn):
    """As W&B's agent builds it for what the server has drawn."""
    variables = create_sweep_command_args({"args": drawn}) | {"env": ["/usr/bin/env"], "interpreter": ["python"]}
    parts = ([c] if not c.startswith("${") else variables[c[2:-1]] for c in create_sweep_command(made["command"]))
    return [part for some in parts for part in some]
