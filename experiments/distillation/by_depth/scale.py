"""Weights with which every kind of distillation pulls as hard at a student of three layers; writes scale.md.

python experiments/distillation/by_depth/scale.py                  (--steps for more or less)
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import mean

from research.ablation.design.grid import FIRST, Grid
from research.callbacks.csv_log import CSVLog
from research.terminal import run_command

HERE = Path(__file__).parent
RUNS, SEED, DEPTH = Path("runs/by_depth_scale"), 99, "3"
KNOWN, WEIGHTS = "states-original", {"on_task": 2.0, "on_text": 5.0}  # of ../hybrid.yaml
WATCH = ["--trainer.callbacks+=research.callbacks.ObjectiveGradients", "--trainer.callbacks.every", "5"]


def fit(name: str, options: list[str], *more: str) -> Path:
    """The folder of a run, which is trained unless it lies there."""
    folder = RUNS / name
    given = ["--run.folder", str(RUNS), "--run.name", name, "--seed_everything", str(SEED)]
    if not (folder / "fit.json").exists() and (status := run_command(["fit", *options, *given, *more])):
        sys.exit(status)
    return folder


def norms(folder: Path) -> dict[str, float]:
    """The mean norm of each objective's gradient by the backbone."""
    rows = CSVLog(folder).rows()
    names = ["ce", *WEIGHTS]
    return {name: mean(float(row[f"gradient/{name}"]) for row in rows if row[f"gradient/{name}"]) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    os.chdir(HERE.parents[2])
    grid = Grid.read(HERE / "grid.yaml", "--budget.steps", str(asked.steps))
    arms = {arm.coordinates["kind"]: arm for arm in grid.arms() if arm.coordinates["depth"] == DEPTH}
    tuned = next(arm.first for arm in arms.values() if arm.first)
    teacher = fit("teacher", tuned.options)
    measured = {
        kind: norms(fit(kind, [option.replace(FIRST, str(teacher)) for option in arm.options], *WATCH))
        for kind, arm in arms.items() if kind != "none"
    }  # fmt: skip
    lines = ["| kind | " + " | ".join(f"norm of {name}" for name in ("ce", *WEIGHTS)) + " | "]
    lines[0] += " | ".join(f"weight of {name}" for name in WEIGHTS) + " |"
    lines.append("|---|" + "---|" * 5)
    for kind, norm in measured.items():
        weights = [weight * measured[KNOWN][name] / norm[name] for name, weight in WEIGHTS.items()]
        lines.append(f"| {kind} | {' | '.join(f'{value:.3g}' for value in (*norm.values(), *weights))} |")
    told = f"Mean norms of gradients over {asked.steps} steps, seed {SEED}; no test text was read."
    (HERE / "scale.md").write_text("\n".join([*lines, "", told]) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
