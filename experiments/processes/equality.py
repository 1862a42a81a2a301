"""Does a run depend on the number of processes? Fits each case with one, two and four, and compares all steps' losses.

python experiments/processes/equality.py                       # every case
python experiments/processes/equality.py --cases joint t5 --processes 1 2
"""

import argparse
import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from cases import ARCHITECTURES, CASES, Case

from research.ablation.results import commit
from research.sharding import Whole, is_sharded

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT / "data"
MOST = 1e-5  # that two figures may differ
COMPARED = ("loss", "gradient_norm", "weight/", "validation/")


def backbone(name: str, folder: Path) -> str:
    """The folder of a small model of random weights, with a tokenizer."""
    from research.data.sources import TextFiles
    from research.models import Student, TrainedTokenizer

    place = folder / name
    if not place.exists():
        kind, size, architecture = ARCHITECTURES[name]
        text = TextFiles(str(DATA / "wikitext2/valid.txt"))
        student = Student(architecture=architecture, tokenizer=TrainedTokenizer(text, vocab_size=size, kind=kind))
        student.build()
        for part in (student.model, student.tokenizer):
            part.save_pretrained(str(place))
    return str(place)


def config(case: Case, folder: Path) -> Path:
    """The case's file with models made for it, and without what its strategy refuses."""
    run = yaml.safe_load((HERE / f"{case.config}.yaml").read_text())
    model = run["model"]
    for settings in (model["student"], model["teacher"]["init_args"]):
        settings["backbone"] = backbone(settings["backbone"], folder)
    if is_sharded(case.strategy):
        model["objectives"] = {
            name: objective
            for name, objective in model["objectives"].items()
            if not issubclass(imported(objective["class_path"]), Whole)
        }
    path = folder / f"{case.config}-{case.strategy}.yaml"
    path.write_text(yaml.safe_dump(run, sort_keys=False))
    return path


def imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def started(name: str, case: str, processes: int, folder: Path, steps: int) -> "subprocess.Popen[str]":
    """A run of a case, which goes on where the last one of its name stopped."""
    of = CASES[case]
    strategy = ["--config", str(ROOT / f"configs/strategy/{of.strategy}.yaml"), *of.divided]
    many = [*strategy, "--trainer.devices", str(processes)] if processes > 1 else []
    again = ["--ckpt_path", "last"] if (folder / "runs" / name).exists() else []
    line = [sys.executable, "-m", "research.cli", "fit", "--config", str(config(of, folder)), *many, *of.settings,
            *again, "--trainer.max_steps", str(steps), "--run.folder", str(folder / "runs"), "--run.name", name,
            "--data.cache", str(folder / "cache")]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        line, cwd=DATA.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: "subprocess.Popen[str]", expected: int = 0) -> None:
    out, told = process.communicate()
    if process.returncode != expected:
        sys.exit(f"{process.args} gave {process.returncode}:\n{out[-2000:]}{told[-3000:]}")


def figures(path: Path) -> list[dict[str, float]]:
    """Losses, weights and gradient norm of each batch, and what was measured on held-out data, by name."""
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v and k.startswith(COMPARED)} for row in csv.DictReader(file)]


def named(case: str, end: object) -> str:
    return "-".join([*re.findall(r"\w+", case), str(end)])


def fit(case: str, processes: int, folder: Path, steps: int) -> list[dict[str, float]]:
    name = named(case, processes)
    ended(started(name, case, processes, folder, steps))
    return figures(folder / "runs" / name / "metrics.csv")


def moved(case: str, numbers: list[int], folder: Path, steps: int) -> list[dict[str, float]]:
    """One run that is stopped after equal parts of its steps, and goes on with another number of processes."""
    name = named(case, "moved")
    metrics = folder / "runs" / name / "metrics.csv"
    for i, number in enumerate(numbers, 1):
        process = started(name, case, number, folder, steps)
        if i == len(numbers):
            ended(process)
        else:
            while process.poll() is None and (
                not metrics.exists() or len(figures(metrics)) < steps * i // len(numbers)
            ):
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            ended(process, 128 + signal.SIGTERM)
    return figures(metrics)


def differences(one: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, float]:
    """For each figure the largest difference of any step, relative where the figure is above 1.

    It is infinite where one has the figure and the other does not.
    """
    assert len(one) == len(other), (len(one), len(other))
    out: dict[str, float] = {}
    for mine, theirs in zip(one, other, strict=True):
        for name in {*mine, *theirs}:
            here, there = mine.get(name, math.inf), theirs.get(name, -math.inf)
            out[name] = max(out.get(name, 0.0), abs(here - there) / max(1.0, min(abs(here), abs(there))))
    return out


def vacuous(run: list[dict[str, float]], moving: Iterable[str]) -> list[str]:
    """The losses that never exceed what two may differ by, and what of ``moving`` does not move: both show nothing."""
    seen: dict[str, list[float]] = defaultdict(list)
    for row in run:
        for name, value in row.items():
            seen[name].append(value)
    still = [name for name, values in seen.items() if name.startswith("loss") and max(map(abs, values)) <= MOST]
    return still + [name for name in moving if len(set(seen[name])) < 2]


def compare(case: str, processes: list[int], folder: Path, steps: int) -> list[dict[str, Any]]:
    first, *others = processes
    alone, runs = fit(case, first, folder, steps), {str(n): fit(case, n, folder, steps) for n in others}
    if CASES[case].moved:
        runs["then ".join(f"{n} " for n in processes).strip()] = moved(case, processes, folder, steps)
    idle = vacuous(alone, CASES[case].moving)
    out = []
    for name, run in runs.items():
        apart = differences(alone, run)
        worst = max(apart, key=lambda name: apart[name])
        objectives = {name.split("/")[1] for name in apart if name.startswith("loss/")}
        out.append({"case": case, "config": CASES[case].config, "strategy": CASES[case].strategy, "processes": name,
                    "against": first, "batches": len(alone), "figures": len(apart), "objectives": len(objectives),
                    "largest difference": apart[worst], "of": worst, "vacuous": idle,
                    "equal": apart[worst] <= MOST and not idle})  # fmt: skip
        print(json.dumps(out[-1]), flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=50, help="optimiser steps of a run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for case in args.cases for row in compare(case, args.processes, Path(folder), args.steps)]
    if args.cases == list(CASES):
        write(rows, args)
    sys.exit(0 if all(row["equal"] for row in rows) else "some figures differ by more than they may, or show nothing")


def write(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    numbers = " ".join(map(str, args.processes))
    made = f"python experiments/processes/equality.py --steps {args.steps} --processes {numbers}"
    results = {"command": made, "commit": commit(), "seed": 11, "at most": MOST, "rows": rows}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        f"Made by `{made}` at commit {results['commit']}; seed 11, {args.steps} optimiser steps, float32, no dropout.",
        "",
        "Differences are relative where a figure is above 1.",
        "",
        "| case | config | strategy | processes | objectives | logged batches | largest difference | of | equal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {r['case']} | {r['config']}.yaml | {r['strategy']} | {r['processes']} against {r['against']} "
            f"| {r['objectives']} | {r['batches']} | {r['largest difference']:.1e} | {r['of'].removeprefix('loss/')} "
            f"| {'yes' if r['equal'] else '**no**'} |"
            for r in rows
        ),
    ]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
