"""What `plan` says of the memory of three models by strategy, beside fits; writes results.json and results.md.

python experiments/scale/measure.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from research.ablation.results import commit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODELS = ("minilm", "gpt2", "t5")
STRATEGIES = {"one": [], "DDP": ["configs/strategy/ddp.yaml"], "FSDP": ["configs/strategy/fsdp.yaml"]}
BATCH, ROWS = "--data.streams.news.init_args.batch_size", 8  # of each process
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
        devices = ["--trainer.devices", str(PROCESSES[strategy]), BATCH, str(ROWS * PROCESSES[strategy])]
        command("fit", model, strategy, *devices, "--trainer.callbacks", json.dumps([callback]), "--run.folder", folder)
        told: dict[str, int] = json.loads(path.read_text())
    return told


def planned(model: str, strategy: str) -> float:
    """Bytes of a device, as the plan says."""
    devices = PROCESSES[strategy]
    more = ["--devices", str(devices), BATCH, str(ROWS * devices), "--device-flops", "1T", "--json"]
    told = json.loads(command("plan", model, "one", *more))["strategies"][strategy]["total"]
    return float(told)


def row(model: str, strategy: str, plan: float, fit: Mapping[str, Any]) -> str:
    held, resident = fit["held"], fit["resident"]
    cells = [f"{plan / 1e9:.3f}", f"{held / 1e9:.3f}", f"{plan / held:.2f}", f"{resident / 1e9:.3f}"]
    return "| " + " | ".join([model, strategy, *cells, f"{plan / resident:.2f}", fit.get("commit", "not kept")]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS, help="that are measured; others stay as they were")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    args = parser.parse_args()
    path = HERE / "results.json"
    fits: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text())["fits"] if path.exists() else {}
    for model in args.models:
        for strategy in args.strategies:
            found = {"commit": commit(), **measured(model, strategy)}
            fits.setdefault(model, {})[strategy] = found
            path.write_text(json.dumps({"fits": fits}, indent=1) + "\n")
            print(f"{model} {strategy}: {found['held'] / 1e9:.3f} GB held", flush=True)
    plans = {model: {strategy: planned(model, strategy) for strategy in fits[model]} for model in fits}
    told = {"torch": torch.__version__, "commit": commit(), "fits": fits, "plans": plans}
    path.write_text(json.dumps(told, indent=1) + "\n")
    write(told)


def write(told: Mapping[str, Any]) -> None:
    """results.md, of what results.json has."""
    fits, plans = told["fits"], told["plans"]
    lines = [
        f"Plans made by `python experiments/scale/measure.py` at commit {told['commit']}, torch {told['torch']};"
        " fits at that of the last column.",
        "",
        "| model | strategy | plan, GB | held, GB | plan / held | resident, GB | plan / resident | fitted at |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in (model for model in MODELS if model in fits):
        for strategy in (strategy for strategy in STRATEGIES if strategy in fits[model]):
            lines.append(row(model, strategy, plans[model][strategy], fits[model][strategy]))
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
