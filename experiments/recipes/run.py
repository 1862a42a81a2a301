"""Trains and tests each recipe and its twin, in turn; writes results.json and results.md.

python experiments/recipes/run.py                  (all; --only quickstart bert for some)
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from research.evaluation.report import figures, shown
from research.run import Run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECIPES = ("quickstart", "bert", "gpt2", "t5")
RUNS = Path("runs/recipes")
ARMS = {"supervised loss alone": "-ce-only", "hybrid": ""}


def train_and_test(recipe: str, twin: bool) -> Path:
    """The folder of a fresh run of the recipe, tested."""
    files = [f"configs/{recipe}.yaml", *([f"configs/ce_only/{recipe}.yaml"] if twin else [])]
    config = [*(part for file in files for part in ("--config", file)), "--run.folder", str(RUNS)]
    for more in (["fit", *config], ["test", *config, "--ckpt_path", "last"]):
        done = subprocess.run([sys.executable, "-m", "research.cli", *more], cwd=ROOT)
        if done.returncode:
            sys.exit(f"{recipe}: exit status {done.returncode}")
    return Run(name=f"{recipe}-ce-only" if twin else recipe, folder=str(ROOT / RUNS)).versions()[-1]


def report(results: dict[str, Any]) -> str:
    """A Markdown table: a row for each figure of a recipe's test split, a column an arm; and where it comes from."""
    lines = [f"| recipe | figure | {' | '.join(ARMS)} |", "|---|---|" + "---|" * len(ARMS)]
    for recipe, entry in results.items():
        arms: dict[str, dict[str, float]] = entry["arms"]
        for name in dict.fromkeys(name for values in arms.values() for name in values):
            row = [f"`{recipe}`", name, *(shown(values.get(name)) for values in arms.values())]
            lines.append(f"| {' | '.join(row)} |")
    made = [f"`{recipe}`: seed {e['seed']}, commit {e['commit']}, `{e['command']}`" for recipe, e in results.items()]
    return "\n".join([*lines, "", *(f"- {line}" for line in made), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=RECIPES, metavar="RECIPE")
    path = HERE / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for recipe in parser.parse_args().only:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        runs = {name: train_and_test(recipe, bool(ending)) for name, ending in ARMS.items()}
        shutil.copy(runs["hybrid"] / "loss_curves.png", HERE / f"{recipe}.png")
        results[recipe] = {
            "command": f"python experiments/recipes/run.py --only {recipe}",
            "commit": commit.stdout.strip(),
            "seed": yaml.safe_load((ROOT / f"configs/{recipe}.yaml").read_text())["seed_everything"],
            "arms": {name: figures(folder) for name, folder in runs.items()},
        }
        results = {name: results[name] for name in RECIPES if name in results}
        path.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
