"""``sweep.yaml``: the same axes as a W&B sweep, whose agents run the arms of the grid."""

from pathlib import Path
from typing import Any

import yaml

from research.ablation.design.grid import Grid
from research.ablation.search.search import Search
from research.errors import UserError
from research.files import write_whole

SEED = "seed"


def write(grid: Grid, searching: bool) -> Path:
    """The file beside the grid's results."""
    path = grid.results.parent / "sweep.yaml"
    write_whole(path, yaml.safe_dump(sweep(grid, searching), sort_keys=False))
    return path


def sweep(grid: Grid, searching: bool) -> dict[str, Any]:
    """What W&B draws: all arms with all seeds or, for a search, what its ranges and axes promise.

    Each run of an agent is a run of the grid: it lies in the grid's folder, and ``ablate`` finds it done.

    Raises:
        UserError: for an axis that is called as the seeds are.
    """
    if SEED in grid.axes:
        raise UserError(f"axes.{SEED}: a sweep has an axis of that name for the seeds; call it otherwise")
    arguments = ["ablate", "--config", str(grid.path), *(["--search"] if searching else []), "--arm"]
    command = ["${env}", "${interpreter}", "-m", "research.cli", *arguments, "${args_no_hyphens}"]
    head = {"name": grid.name, "description": f"python -m research.cli {' '.join(arguments[:-1])} --sweep"}
    if not searching:
        axes = {axis: {"values": list(grid.values(axis))} for axis in grid.axes}
        return head | {"method": "grid", "parameters": axes | {SEED: {"values": grid.seeds}}, "command": command}
    assert grid.search is not None
    search = grid.search
    goal = {"name": search.figure, "goal": search.direction}
    drawn = {axis: {"values": names} for axis, names in search.axes(grid.arms()).items()}
    drawn |= {key: distribution(ends) for key, ends in search.space.items()}
    return head | {"method": "bayes", "metric": goal, "run_cap": search.trials, "parameters": drawn, "command": command}


def distribution(ends: dict[str, Any]) -> dict[str, Any]:
    """A range in W&B's words."""
    kind = "log_uniform_values" if ends.get("log") else "uniform"
    step = {"q": ends.get("step", 1)} if "step" in ends or Search.whole(ends) else {}
    return {"distribution": f"q_{kind}" if step else kind, "min": ends["low"], "max": ends["high"], **step}
