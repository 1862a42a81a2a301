"""``report RUN...``: finished runs side by side, from the files that they left."""

import argparse
import csv
import json
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from research.errors import UserError
from research.run import Run


def figures(folder: Path) -> dict[str, float]:
    """The test figures of a run, its median throughput, training time and peak memory.

    Raises:
        UserError: if the folder holds no finished run.
    """
    if not (folder / "fit.json").is_file():
        raise UserError(f"{folder}: not the folder of a finished run (it has no fit.json)")
    test = json.loads((folder / "test.json").read_text()) if (folder / "test.json").is_file() else {}
    fit = json.loads((folder / "fit.json").read_text())
    with (folder / "metrics.csv").open(newline="") as file:
        speeds = [float(row["tokens_per_second"]) for row in csv.DictReader(file) if row["tokens_per_second"]]
    return {
        **{name.removeprefix("test/"): value for name, value in test.items()},
        "steps": fit["steps"],
        "training seconds": fit["seconds"],
        "tokens per second": median(speeds),
        "peak memory (GB)": fit["peak_memory_gb"],
    }


def table(columns: dict[str, dict[str, float]]) -> str:
    """A text table: a row a figure, a column a run; ``-`` where a run has no such figure."""
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    cells = [["", *columns]] + [[n, *(shown(values.get(n)) for values in columns.values())] for n in names]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
             for row in cells]  # fmt: skip
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def shown(value: float | None) -> str:
    """Four significant digits, whole numbers whole."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def main(arguments: list[str]) -> int:
    """Print the table of the runs named on the command line, and where their files lie."""
    parser = argparse.ArgumentParser(prog="python -m research.cli report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--newest", action="store_true", help="of each RUN the newest version: RUN, RUN-2, RUN-3 ...")
    chosen = parser.parse_args(arguments)
    runs: list[Path] = chosen.runs
    if chosen.newest:
        runs = [(Run(name=run.name, folder=str(run.parent)).versions() or [run])[-1] for run in runs]
    print(table({run.name: figures(run) for run in runs}))
    for run in runs:
        print(f"\n{run.name}")
        for label, pattern in FILES.items():
            for path in sorted(run.glob(pattern)):
                print(f"  {label:<13}{path}")
        print(f"  go on        {go_on(run)}")
    return 0


FILES = {
    "checkpoint": "checkpoints/last.ckpt",
    "log": "metrics.csv",
    "W&B offline": "wandb/offline-run-*",
    "loss curves": "loss_curves.png",
    "mixture": "mixture.png",
    "config": "config.yaml",
}


def go_on(run: Path) -> str:
    """The command that trains the run for as many steps again."""
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    steps = config["trainer"]["max_steps"]
    return (
        f"python -m research.cli fit --config {run}/config.yaml --ckpt_path {run}/checkpoints/last.ckpt "
        f"--trainer.max_steps {2 * steps}"
    )
