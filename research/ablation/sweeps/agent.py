"""``ablate --arm``: one run of a grid or of its search, such as the agent of a W&B sweep asks for."""

import os
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from research.ablation.design.grid import Arm, Grid
from research.ablation.design.plan import Plan
from research.ablation.running.job import Job, run
from research.ablation.search.development import Development
from research.ablation.sweeps.sweep import SEED
from research.errors import UserError


def run_arm(grid: Grid, pairs: list[str], searching: bool) -> int:
    """Run it in this process, unless it is done or its arm is excluded; returns its exit status.

    Args:
        pairs: ``axis=value`` of each axis and ``seed=N``; of a search the axes that are not fixed, and ``key=value`` of
            its ranges.

    Raises:
        UserError: for pairs that name no run.
    """
    asked = dict(pair.partition("=")[::2] for pair in pairs)
    jobs = (searched if searching else planned)(grid, asked)
    if jobs is None:
        print(f"{grid.path}: excludes {', '.join(pairs)}")
        return 0
    if jobs and "WANDB_SWEEP_ID" in os.environ:
        jobs[-1].options += ["--run.wandb", "online"]
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(job.folder / ".lock"):
            if not job.done and (status := run(job)):
                return status
    return 0


def planned(grid: Grid, asked: Mapping[str, str]) -> list[Job] | None:
    """The grid's run of these values and this seed, which ``ablate`` then finds done, after one that comes first."""
    if (seed := asked.get(SEED, "")) not in map(str, grid.seeds):
        raise UserError(f"--arm: give {SEED}=N, one of {', '.join(map(str, grid.seeds))}")
    grid.seeds = [int(seed)]
    arm = arm_of(grid, {axis: value for axis, value in asked.items() if axis != SEED})
    return None if arm is None else [run.job for run in Plan(grid, [arm]).waiting()]


def searched(grid: Grid, asked: Mapping[str, str]) -> list[Job] | None:
    """A run of the search, with its first seed and without test splits."""
    assert grid.search is not None
    search = grid.search
    drawn = {key: value for key, value in asked.items() if key in search.space}
    if missing := search.space.keys() - drawn.keys():
        raise UserError(f"--arm: give {', '.join(f'{key}=VALUE' for key in missing)}")
    chosen = search.fixed | {axis: value for axis, value in asked.items() if axis not in search.space}
    if (arm := arm_of(grid, chosen)) is None:
        return None
    whole = {key for key, ends in search.space.items() if search.whole(ends)}
    drawn = {key: value.removesuffix(".0") if key in whole else value for key, value in drawn.items()}  # W&B's 16.0
    arm = Arm(arm.coordinates, [*arm.options, *search.options(drawn)])
    seed, resolved = search.seeds[0], Development(arm)
    key = resolved.key(seed, grid.seed_keys)
    options = [*arm.options, *resolved.options(), *grid.seeded(seed), *grid.tracked(arm)]
    return [Job(key, Path(grid.runs) / grid.name / "search" / key, options, ("validate",), grid.keep_checkpoints)]


def arm_of(grid: Grid, chosen: Mapping[str, str]) -> Arm | None:
    """The arm of these values, or none if the grid excludes it."""
    for axis in (*grid.axes, *chosen):
        known = grid.values(axis) if axis in grid.axes else {}
        if chosen.get(axis) not in known:
            told = f"one of {', '.join(known)}" if known else f"an axis, of {', '.join(grid.axes)}"
            raise UserError(f"--arm {axis}={chosen.get(axis, '')}: must be {told}")
    return next((arm for arm in grid.arms() if arm.coordinates == chosen), None)
