"""From a grid to its runs: all arms are checked, and each run gets its key and its folder."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research.ablation.grid import Arm, Grid
from research.ablation.job import Job
from research.ablation.resolve import Resolved
from research.ablation.results import Results, commit
from research.errors import UserError


@dataclass
class Planned:
    """A run of the grid. Two arms that come to the same config share a job."""

    arm: Arm
    seed: int
    options: list[str]
    job: Job

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


class Plan:
    """All runs of a grid, seed by seed, so that a grid that is stopped early has seen every arm.

    Raises:
        UserError: for an arm that ``fit`` would refuse, or that cannot give what the grid compares.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.left_out: dict[str, list[str]] = {}
        folder, testing = Path(grid.runs) / grid.name, any(name.startswith("test/") for name in grid.metrics)
        jobs: dict[tuple[str, int], Planned] = {}
        given = set[str]()
        for arm in (arms := grid.arms()):
            resolved = Resolved(arm)
            if testing and not resolved.tested():
                raise UserError(f"arm {arm}: data.streams: no stream has a test split; set test on one of them")
            classified = resolved.tested("classify") if testing else []
            given |= {metric for metric in grid.metrics if resolved.can_give(metric)}
            self.left_out[str(arm)] = resolved.left_out
            for seed in grid.seeds:
                key = resolved.key(seed, grid.seed_keys, testing)
                options = [*arm.options, *grid.seeded(seed)]
                stages = ("test",) * testing + ("predict",) * bool(classified)
                job = Job(key, folder / key, options, stages, grid.keep_checkpoints)
                jobs[str(arm), seed] = Planned(arm, seed, options, job)
        for metric in grid.metrics:
            if metric not in given:
                raise UserError(f"metrics.{metric}: no arm has an objective '{metric.split('/')[1]}', or callbacks")
        self.runs = [jobs[str(arm), seed] for seed in grid.seeds for arm in arms]

    def waiting(self) -> list[Planned]:
        """What is not done, each job once."""
        first = {run.job.key: run for run in reversed(self.runs)}
        return [run for run in self.runs if first[run.job.key] is run and not run.job.done]

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
                "run": str(job.folder), "options": run.options}  # fmt: skip
        if job.done:
            return line | {"status": "done"} | job.record()
        return line | ({"status": "failed", "error": failed[job.key]} if job.key in failed else {})
