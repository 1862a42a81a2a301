"""``ablate``: a grid file becomes runs, their results, and the tables of them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from research.ablation.design.grid import Grid
from research.arguments import Parser
from research.errors import UserError

if TYPE_CHECKING:
    from research.ablation.design.plan import Plan, Planned

PARALLEL = 256  # jobs of an array at a time, where the grid does not say: submitit's own


def main(arguments: list[str]) -> int:
    """Run what is missing of a grid; returns 1 if an arm failed.

    Raises:
        UserError: for a grid, or an arm of it, that cannot run; before the first run starts.
    """
    parser = Parser(
        prog="python -m research.cli ablate",
        description=f"{__doc__} Every key of the grid can be set too, such as --seeds [0] or --budget.steps 10.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, help="the grid, such as experiments/NAME/grid.yaml")
    what.add_argument("--report", type=Path, metavar="FOLDER", help="make the tables anew from its results.jsonl")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, which share the cores (default: 1)")
    parser.add_argument("--slurm", action="store_true", help="runs as a job array of SLURM, with the grid's `cluster`")
    parser.add_argument("--search", action="store_true", help="look for the best settings on the development splits")
    parser.add_argument("--sweep", action="store_true", help="write the grid, or its search, as a sweep of W&B")
    parser.add_argument("--arm", nargs="+", metavar="AXIS=VALUE", help="run this arm alone, with seed=N")
    parser.add_argument("--dry-run", action="store_true", help="check all arms, show them and what they cost")
    chosen, keys = parser.parse_known_args(arguments)
    if chosen.workers < 1:
        raise UserError(f"--workers is {chosen.workers}; it must be at least 1")
    if chosen.report:
        from research.ablation.reporting.report import rebuild

        if keys:
            raise UserError(f"--report {chosen.report}: takes nothing else; there is {' '.join(keys)}")
        rebuild(chosen.report)
        return 0
    grid = Grid.read(chosen.config, *keys)
    if chosen.dry_run and (chosen.arm or chosen.sweep):
        raise UserError("--dry-run shows all arms of a grid, or a search; leave out --arm and --sweep")
    if chosen.search and grid.search is None:
        raise UserError(f"{grid.path}: has no search; add one, with metric: {{validation/...: max}} and space")
    if chosen.sweep or chosen.arm or chosen.search:
        return other(grid, arguments, chosen)
    from research.ablation.design.plan import Plan

    plan = Plan(grid)
    print(described(plan, None if chosen.slurm else chosen.workers), flush=True)
    if chosen.dry_run:
        return 0
    check_tables()
    with owned(plan):
        failed = run(plan, arguments, chosen.workers, chosen.slurm)
    for key, log in failed.items():
        names = [str(run) for run in (*plan.firsts.values(), *plan.runs) if run.job.key == key]
        print(f"\nfailed: {'; '.join(names)}\n{log}", file=sys.stderr)
    return 1 if failed else 0


def check_tables() -> None:
    """Refuse before the first run what would stop the tables after the last."""
    if find_spec("statsmodels") is None:
        raise UserError("the tables of a grid need the extra: pip install 'hybrid-fine-tuning[ablation]'")


def other(grid: Grid, arguments: list[str], chosen: argparse.Namespace) -> int:
    """What is not all runs of the grid."""
    if chosen.slurm:
        raise UserError("--slurm runs all arms of a grid; a search and a single arm run where they are started")
    if chosen.sweep:
        from research.ablation.sweeps.sweep import write

        path = write(grid, chosen.search)
        print(f"written to {path}\nstart it by: wandb sweep {path}, and then what that says, on each machine")
        return 0
    if chosen.arm:
        from research.ablation.sweeps.agent import run_arm

        return run_arm(grid, chosen.arm, chosen.search)
    from research.ablation.search.tune import tune

    return tune(grid, arguments, chosen.workers, chosen.dry_run)


def run(plan: Plan, arguments: list[str], workers: int, on_slurm: bool = False) -> dict[str, str]:
    """Run what is missing, with results written after each; returns the logs' ends of what failed, by key."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    from research.ablation.reporting.report import write
    from research.ablation.running.local import Workers
    from research.ablation.running.slurm import Cluster, slurm

    failed: dict[str, str] = {}
    plan.tidy()
    waiting = plan.waiting()
    pool: Workers | Cluster
    if on_slurm:
        pool = slurm(Path(plan.grid.runs) / plan.grid.name / "slurm", plan.grid.cluster)
    else:
        done = (run.job.record()["cost"]["peak_memory_gb"] for run in plan.runs if run.job.done)
        pool = Workers(workers, max(done, default=0.0))
    since = time.monotonic()
    with tqdm(total=len(waiting), unit="run", disable=None) as bar:
        for number, (planned, status, seconds) in enumerate(pool.run(waiting), 1):
            if status or not planned.job.done:
                failed[planned.job.key] = f"{planned.job.log()}\nexit status {status}"
                if not planned.ready:
                    failed[planned.job.key] = f"the run that comes first failed: {planned.first}"
            plan.tidy()
            plan.results(arguments, failed).write(plan.grid.results)
            left = (time.monotonic() - since) / number * (len(waiting) - number)
            bar.write(f"[{number}/{len(waiting)}] {told(plan, planned, seconds)}; {duration(left)} left")
            bar.update()
            if number == 1 and isinstance(pool, Workers) and pool.fitting() < workers:
                bar.write(f"{pool.peak:.1f} GB a run: {pool.fitting()} of {workers} fit into {pool.memory:.1f} GB")
    results = plan.results(arguments, failed)
    results.write(plan.grid.results)
    write(results, plan.grid.results.parent)
    print(f"written to {plan.grid.results.parent}/: results.jsonl, .md, .tex, .csv, .html")
    return failed


@contextmanager
def owned(plan: Plan) -> Iterator[None]:
    """While the grid runs, no other process runs it."""
    folder = Path(plan.grid.runs) / plan.grid.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{plan.grid.path}: another process runs this grid; wait for it, or stop it") from None


def described(plan: Plan, workers: int | None) -> str:
    """The arms, what is done of them, and what the rest costs; without workers, on SLURM."""
    grid, waiting = plan.grid, plan.waiting()
    jobs = {run.job.key for run in plan.runs}
    lines = [
        f"{grid.path}: {len(plan.left_out)} arms, seeds {', '.join(map(str, grid.seeds))}: {len(jobs)} runs"
        + (f" (of {len(plan.runs)}, the others are equal)" if len(jobs) < len(plan.runs) else "")
        + f", {sum(1 for key in jobs if key not in {run.job.key for run in waiting})} done"
        + (f"; {len(more)} more come first" if (more := plan.firsts.keys() - jobs) else "")
    ]
    for arm, gone in plan.left_out.items():
        lines.append(f"  {arm}" + (f"   (without {', '.join(gone)})" if gone else ""))
    known = costs(plan)
    if waiting and known:
        every = [seconds for arm in known.values() for seconds in arm]
        seconds = [mean(known.get(str(run.arm), every)) for run in waiting]
        if workers is None:
            at_once = min(len(waiting), int(grid.cluster.get("array_parallelism", PARALLEL)))
            left = f"{duration(sum(seconds))} of jobs left, at most {at_once} at a time"
        else:
            left = f"{duration(sum(seconds) / workers)} left, {workers} at a time"
        lines.append(f"about {duration(mean(every))} a run by those that are done: {left}")
    elif waiting:
        lines.append("what a run costs is known when the first one is done")
    return "\n".join(lines)


def costs(plan: Plan) -> dict[str, list[float]]:
    """The seconds of the runs that are done, by their arms."""
    known: dict[str, list[float]] = {}
    for run in (*plan.runs, *plan.firsts.values()):
        if run.job.done:
            known.setdefault(str(run.arm), []).append(run.job.record()["cost"]["total_seconds"])
    return known


def told(plan: Plan, planned: Planned, seconds: float) -> str:
    """A line on a run that has ended: what it measured, or that it failed."""
    if not planned.job.done:
        return f"{planned}: FAILED after {duration(seconds)}, see {planned.job.folder}/log.txt"
    metrics = plan.grid.measured(planned.job.record()["metrics"])
    figures = [f"{name} {metrics[name]:.4g}" if name in metrics else f"{name} missing" for name in plan.grid.metrics]
    if not any(run.job is planned.job for run in plan.runs):
        figures = ["comes first, done"]
    return f"{planned}: {', '.join(figures)} ({duration(seconds)})"


def duration(seconds: float) -> str:
    """Such as 41 s, 12 min or 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
