"""Fine-tunes teachers, and students of half their layers with and without them; writes results.json and results.md.

python experiments/distillation/run.py                  (--tasks and --seeds for less)
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from research.ablation.reporting import statistics
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS = Path("runs/distillation")
TASKS, ARMS = ("trec", "sst2"), ("teacher", "alone", "tuned", "hybrid")
FIGURES = {"accuracy": "test/ce/accuracy", "STS-B": "test/sts/spearman"}


def run(task: str, arm: str, seed: int) -> dict[str, float]:
    """The test figures of an arm, which is trained unless its run lies there; a killed one goes on."""
    name = f"{task}-{arm}-{seed}"
    config = [part for file in ("base", task, arm) for part in ("--config", str(HERE / f"{file}.yaml"))]
    config += ["--run.name", name, "--seed_everything", str(seed)]
    if arm in ("tuned", "hybrid"):
        config += ["--data.streams.text", (HERE / "text.yaml").read_text()]
    if arm == "tuned":
        checkpoint = RUNS / f"{task}-teacher-{seed}" / "checkpoints" / "last.ckpt"
        config += ["--model.teacher", "research.models.LiveTeacher"]
        config += ["--model.teacher.init_args.checkpoint", str(checkpoint)]
    folder = RUNS / name
    if not (folder / "fit.json").exists():
        going_on = ["--ckpt_path", "last"] if (folder / "checkpoints" / "last.ckpt").exists() else []
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        command("fit", *config, *going_on)
    if not (folder / "test.json").exists():
        command("test", *config, "--ckpt_path", "last")
    figures = json.loads((folder / "test.json").read_text())
    return {name: figures[key] for name, key in FIGURES.items()}


def command(*arguments: str) -> None:
    if status := run_command(list(arguments)):
        sys.exit(f"exit status {status}: {' '.join(arguments)}")


def interval(values: list[float]) -> str:
    """The mean, with half the width of its 95% interval over seeds by Student's t."""
    of = statistics.interval(values)
    return f"{100 * of.mean:.1f}" + (f" ± {100 * of.half:.1f}" if of.half is not None else "")


def report(results: dict[str, Any]) -> str:
    """A row for each arm of a task: its figures in percent, and what they are of the teacher's, seed by seed."""
    shares = [f"{figure}, % of the teacher's" for figure in FIGURES]
    lines = [f"| task | arm | {' | '.join([*FIGURES, *shares])} |", "|---|---|" + "---|" * 2 * len(FIGURES)]
    for task, arms in results["tasks"].items():
        for arm, seeds in arms.items():
            cells = [interval([one[figure] for one in seeds]) for figure in FIGURES]
            for figure in FIGURES:
                pairs = zip(seeds, arms["teacher"], strict=True)
                cells.append(interval([one[figure] / taught[figure] for one, taught in pairs]))
            lines.append(f"| {task} | {arm} | {' | '.join(cells)} |")
    return "\n".join([
        *lines, "",
        "Mean over seeds and half the width of its 95% interval (Student's t), in percent; "
        "STS-B: Spearman's correlation.",
        "",
        f"Commit {results['commit']}: `{results['command']}`, seeds {results['seeds']}; "
        "configs in this folder: base.yaml, the task's, the arm's.",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    os.chdir(ROOT)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    results: dict[str, Any] = {
        "command": " ".join(["python", "experiments/distillation/run.py", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "seeds": asked.seeds,
        "tasks": {},
    }
    for task in asked.tasks:
        arms = [{arm: run(task, arm, seed) for arm in ARMS} for seed in asked.seeds]
        results["tasks"][task] = {arm: [one[arm] for one in arms] for arm in ARMS}
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(report(results) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
