"""``ablate --search``: runs the trials of a grid's search, and writes what they found after each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from research.ablation.design.grid import Grid
from research.errors import UserError

if TYPE_CHECKING:
    from research.ablation.search.study import Study


def tune(grid: Grid, arguments: list[str], workers: int, dry: bool = False) -> int:
    """Run what is missing of a search, unless ``dry``; returns 1 if no trial gave a figure.

    Raises:
        UserError: without Optuna, or for a search that cannot run; before the first run starts.
    """
    from research.ablation.running.local import Workers

    study = study_of(grid)
    from research.ablation.search.trials import best_of, write

    trials = study.search.trials
    print(f"{grid.path}: {len(study.ended_trials())} of {trials} trials done, in {study.folder}", flush=True)
    for name, drawn in study.distributions.items():
        print(f"  {name}   {drawn}", flush=True)
    if dry:
        return 0
    try:
        with FileLock(study.folder / ".lock", timeout=0):
            for attempt, status, seconds in Workers(workers).run(study.runs()):
                study.ended(attempt, status)
                write(study, arguments)
                told = study.described(study.study.trials[attempt.trial])
                print(f"[{len(study.ended_trials())}/{trials}] {told} ({seconds:.0f} s)", flush=True)
            write(study, arguments)
    except Timeout:
        raise UserError(f"{grid.path}: another process runs this search; wait for it, or stop it") from None
    if (best := best_of(study)) is None:
        print(f"no trial gave {study.search.figure}; see {study.folder}/*/log.txt", file=sys.stderr)
        return 1
    print(f"best: {study.described(best)}\nwritten to {grid.results.parent}/best.yaml, search.md and search.jsonl")
    return 0


def study_of(grid: Grid) -> Study:
    """The search that a grid describes.

    Raises :class:`UserError` where Optuna, of the extra ``ablation``, is not installed.
    """
    try:
        from research.ablation.search.study import Study
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UserError("--search needs the extra: pip install 'hybrid-fine-tuning[ablation]'") from None
    return Study(grid)
