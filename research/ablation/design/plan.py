"""From a grid to its runs: all arms are checked, and each run gets its key and its folder."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from research.ablation.design.grid import FIRST, Arm, Grid
from research.ablation.design.resolve import Resolved, forget
from research.ablation.results import Results, commit
from research.ablation.running.job import Job
from research.ablation.running.record import by_figure
from research.errors import UserError
from research.evaluation.run_log import objectives_of


@dataclass
class Planned:
    """A run of the grid, or one that comes first. Two arms that come to the same config share a job."""

    arm: Arm
    seed: int
    options: list[str]
    job: Job
    first: "Planned | None" = None

    @property
    def ready(self) -> bool:
        return self.first is None or self.first.job.done

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


class Plan:
    """All runs of a grid, seed by seed, so that a grid that is stopped early has seen every arm.

    Args:
        arms: only these.

    Raises:
        UserError: for an arm that ``fit`` would refuse, or that cannot give what the grid compares.
    """

    def __init__(self, grid: Grid, arms: list[Arm] | None = None) -> None:
        self.grid, self.arms = grid, grid.arms() if arms is None else arms
        self.folder = Path(grid.runs) / grid.name
        self.testing = any(name.startswith("test/") for name in grid.figures)
        self.firsts: dict[str, Planned] = {}  # by the job's key
        self.known = known(grid)
        forget()
        self._resolved, self._jobs = dict[str, Resolved](), dict[str, Job]()
        resolved = [self._resolve(arm) for arm in tqdm(self.arms, "checking", unit="arm", leave=False, disable=None)]
        self.left_out = {str(arm): each.left_out for arm, each in zip(self.arms, resolved, strict=True)}
        for arm, each in zip(self.arms, resolved, strict=True):
            if self.testing and not each.tested():
                raise UserError(f"arm {arm}: data.streams: no stream has a test split; set test on one of them")
        for metric in grid.figures:
            if arms is None and not any(each.can_give(metric) for each in resolved):
                raise UserError(f"metrics.{metric}: no arm has an objective '{metric.split('/')[1]}', or callbacks")
        self.runs = [self._planned(arm, seed) for seed in grid.seeds for arm in self.arms]

    def _resolve(self, arm: Arm, called: str = "arm") -> Resolved:
        known = shlex.join(arm.options)
        if known not in self._resolved:
            self._resolved[known] = Resolved(arm, f"{called} {arm}")
        return self._resolved[known]

    def _planned(self, arm: Arm, seed: int) -> Planned:
        resolved = self._resolve(arm)
        options, first, stages = [*arm.options, *self.grid.seeded(seed)], None, ["test"] * self.testing
        if arm.first is not None:
            first = self._first(arm.first, seed)
            options = [option.replace(FIRST, str(first.job.folder)) for option in options]
        if self.testing and resolved.tested("classify"):
            stages.append("predict")
        key = resolved.key(seed, self.grid.seed_keys, *([first.job.key] if first else []))
        job = self._job(key, [*options, *self.grid.tracked(arm)], stages)
        if first is not None and not job.done:
            first.job.keep = True
        return Planned(arm, seed, options, job, first)

    def _first(self, arm: Arm, seed: int) -> Planned:
        options = [*arm.options, *self.grid.seeded(seed)]
        job = self._job(self._resolve(arm, "first run of").key(seed, self.grid.seed_keys), options, [])
        return self.firsts.setdefault(job.key, Planned(arm, seed, options, job))

    def _job(self, key: str, options: list[str], stages: list[str]) -> Job:
        """The job of that key: an arm may be another's first run too."""
        made = Job(key, self.folder / key, options, (), self.grid.keep_checkpoints, self.known.get(key))
        job = self._jobs.setdefault(key, made)
        job.stages = max(job.stages, tuple(stages), key=len)
        return job

    def waiting(self) -> list[Planned]:
        """What is not done, each job once, and after the run that comes before it."""
        queue: dict[str, Planned] = {}
        for run in self.runs:
            if not run.job.done:
                for each in (run.first, run):
                    if each is not None and not each.job.done:
                        queue.setdefault(each.job.key, each)
        return [*queue.values()]

    def tidy(self) -> None:
        """Delete the weights of first runs that no run waits for, also those that a killed grid left."""
        needed = {run.first.job.key for run in self.runs if run.first is not None and not run.job.done}
        for key, first in self.firsts.items():
            if key not in needed and not self.grid.keep_checkpoints:
                first.job.keep = False
                if first.job.done:  # and not still tested
                    first.job.forget()

    def results(self, arguments: list[str], failed: Mapping[str, str]) -> Results:
        """What is known now; ``failed`` has what went wrong, by the job's key."""
        grid = self.grid
        header = {
            "grid": str(grid.path),
            "command": shlex.join(["python", "-m", "research.cli", "ablate", *arguments]),
            "commit": commit(),
            "metrics": grid.metrics,
            "axes": {axis: list(grid.values(axis)) for axis in grid.axes},
            "baseline": grid.baseline,
            "seeds": grid.seeds,
        }
        return Results(header, [self._line(run, failed) for run in self.runs])

    def _line(self, run: Planned, failed: Mapping[str, str]) -> dict[str, Any]:
        job = run.job
        line = {"arm": run.arm.coordinates, "seed": run.seed, "status": "missing", "key": job.key,
                "run": Path(os.path.relpath(job.folder, self.grid.results.parent)).as_posix(),
                "options": run.options}  # fmt: skip
        if run.first is not None:
            line["first"] = run.first.job.key
        if not job.done:
            return line | ({"status": "failed", "error": failed[job.key]} if job.key in failed else {})
        record = job.record()
        if record is not job.known:  # that is as a line has it
            record["examples"] = by_figure(record, objectives_of(self._resolve(run.arm).dump))
            record["metrics"] = self.grid.measured(record["metrics"])
            if run.first is not None and run.first.job.done:
                before = run.first.job.record()["cost"]
                record["cost"] |= {f"first_{part}": before[part] for part in ("seconds", "tokens")}
        return line | {"status": "done"} | record


def known(grid: Grid) -> dict[str, dict[str, Any]]:
    """The records, by their keys, of the runs that the grid's results hold, if they were measured as is asked now.

    Raises:
        UserError: if the results are torn.
    """
    if not grid.results.exists():
        return {}
    before = Results.read(grid.results)
    if not grid.metrics.keys() <= before.header["metrics"].keys():
        return {}
    asked = {"arm", "seed", "status", "key", "run", "options", "first"}
    return {
        line["key"]: {part: value for part, value in line.items() if part not in asked}
        for line in before.runs
        if line["status"] == "done"
    }
