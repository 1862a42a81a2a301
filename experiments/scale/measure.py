"""What `plan` says of the memory of three models by strategy, beside fits; writes results.json and results.md.

python experiments/scale/measure.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODELS = ("minilm", "gpt2", "t5")
STRATEGIES = {"one": [], "DDP": ["configs/strategy/ddp.yaml"], "FSDP": ["configs/strategy/fsdp.yaml"]}
PROCESSES = {"one": 1, "DDP": 2, "FSDP": 2}


def command(name: str, model: str, strategy: str, *more: str) -> str:
    """The standard output of a command of the program over a model's config."""
    files = [HERE / "base.yaml", HERE / f"{model}.yaml", *(ROOT / file for file in STRATEGIES[strategy])]
    configs = [part for file in files for part in ("--config", str(file))]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, "-m", "research.cli", name, *configs, *more]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(line)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def measured(model: str, strategy: str) -> dict[str, int]:
    """The most bytes of the first process of a fit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heap.json"
        callback = {"class_path": "heap.Heap", "init_args": {"path": str(path)}}
        more = ["--trainer.devices", str(PROCESSES[strategy]), "--trainer.callbacks", json.dumps([callback])]
        command("fit", model, strategy, *more, "--run.folder", folder)
        told: dict[str, int] = json.loads(path.read_text())
    return told


def planned(model: str, strategy: str) -> dict[str, Any]:
    """What the plan says of a strategy."""
    more = ["--devices", str(PROCESSES[strategy]), "--device-flops", "1T", "--json", "true"]
    told: dict[str, Any] = json.loads(command("plan", model, strategy, *more))["strategies"][strategy]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    args = parser.parse_args()
    rows = [
        {"model": model, "strategy": strategy, "plan": planned(model, strategy), **measured(model, strategy)}
        for model in args.models
        for strategy in args.strategies
    ]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    results = {"torch": torch.__version__, "commit": commit.stdout.strip(), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        f"Made by `python experiments/scale/measure.py` at commit {results['commit']}, torch {results['torch']}.",
        "",
        "| model | strategy | plan, GB | held, GB | plan / held | resident, GB | plan / resident |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plan, held, resident = row["plan"]["total"], row["held"], row["resident"]
        cells = [f"{size / 1e9:.3f}" for size in (plan, held, resident)]
        ratios = f"{plan / held:.2f}", f"{plan / resident:.2f}"
        told = [row["model"], row["strategy"], *cells[:2], ratios[0], cells[2], ratios[1]]
        lines.append("| " + " | ".join(told) + " |")
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
