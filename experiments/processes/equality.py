"""Does a run depend on the number of processes? Fits each case with one, two and four, and compares all steps' losses.

python experiments/processes/equality.py                       # every case, some ten minutes on two cores
python experiments/processes/equality.py --cases joint t5 --processes 1 2
"""

import argparse
import csv
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from research.ablation.results import commit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT / "data"
DDP = ["--config", str(ROOT / "configs/strategy/ddp.yaml")]
SAMPLED = [
    "--data.mixture",
    "{class_path: research.data.sampling.Temperature, init_args: {temperature: 2.0, epoch: 25}}",
]
LOSS_DRIVEN = ["--data.mixture", "{class_path: research.data.sampling.LossDriven, init_args: {every: 10, epoch: 25}}"]
PCGRAD = [
    "--model.weighting",
    "{class_path: research.weighting.Aggregation, init_args: {aggregator: {class_path: torchjd.aggregation.PCGrad}}}",
]
CASES: dict[str, tuple[str, list[str]]] = {  # a config each, and what is set beside it
    "joint": ("bert", []),
    "accumulated": ("bert", ["--trainer.accumulate_grad_batches", "2"]),
    "sampled": ("bert", SAMPLED),
    "sampled, accumulated": ("bert", [*SAMPLED, "--trainer.accumulate_grad_batches", "3"]),
    "loss-driven": ("bert", LOSS_DRIVEN),
    "uncertainty": ("bert", ["--model.weighting", "{class_path: research.weighting.Uncertainty}"]),
    "gradnorm": ("bert", ["--model.weighting", "{class_path: research.weighting.GradNorm}"]),
    "pcgrad": ("bert", PCGRAD),
    "gpt2": ("gpt2", []),
    "gpt2, accumulated": ("gpt2", ["--trainer.accumulate_grad_batches", "2"]),
    "t5": ("t5", []),
}
ARCHITECTURES: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": ("wordpiece", {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
                           "intermediate_size": 64, "max_position_embeddings": 64}),
    "gpt2": ("bpe", {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 128}),
    "t5": ("unigram", {"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 3, "num_heads": 2}),
}  # fmt: skip
MOVED = ("joint", "sampled, accumulated", "gpt2", "t5")  # stopped, and gone on with by other numbers of processes
MOST = 1e-5  # that two losses may differ


def teacher(family: str, folder: Path) -> Path:
    """A small model of a family, of random weights; the student begins with some of its layers."""
    from research.data.sources import TextFiles
    from research.models import Student, TrainedTokenizer

    place = folder / family
    if not place.exists():
        kind, architecture = ARCHITECTURES[family]
        text = TextFiles(str(DATA / "wikitext2/valid.txt"))
        student = Student(architecture=architecture, tokenizer=TrainedTokenizer(text, vocab_size=600, kind=kind))
        student.build()
        for part in (student.model, student.tokenizer):
            part.save_pretrained(str(place))
    return place


def started(name: str, case: str, processes: int, folder: Path, steps: int) -> "subprocess.Popen[str]":
    """A run of a case, which goes on where the last one of its name stopped."""
    config, settings = CASES[case]
    model = str(teacher(config, folder))
    many = [*DDP, "--trainer.devices", str(processes)] if processes > 1 else []
    again = ["--ckpt_path", "last"] if (folder / name).exists() else []
    line = [sys.executable, "-m", "research.cli", "fit", "--config", str(HERE / f"{config}.yaml"), *many, *settings,
            *again, "--trainer.max_steps", str(steps), "--run.folder", str(folder), "--run.name", name,
            "--data.cache", str(folder / "cache"), "--model.student.backbone", model,
            "--model.teacher.init_args.backbone", model]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        line, cwd=DATA.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: "subprocess.Popen[str]", expected: int = 0) -> None:
    out, told = process.communicate()
    if process.returncode != expected:
        sys.exit(f"{process.args} gave {process.returncode}:\n{out[-2000:]}{told[-3000:]}")


def figures(path: Path) -> list[dict[str, float]]:
    """The losses of each batch, and what was measured on held-out data, by name."""
    with path.open(newline="") as file:
        return [
            {k: float(v) for k, v in row.items() if v and (k.startswith("loss") or k.startswith("validation/"))}
            for row in csv.DictReader(file)
        ]


def fit(case: str, processes: int, folder: Path, steps: int) -> list[dict[str, float]]:
    name = f"{case.replace(', ', '-')}-{processes}"
    ended(started(name, case, processes, folder, steps))
    return figures(folder / name / "metrics.csv")


def moved(case: str, numbers: list[int], folder: Path, steps: int) -> list[dict[str, float]]:
    """One run that is stopped after equal parts of its steps, and goes on with another number of processes."""
    name = f"{case.replace(', ', '-')}-moved"
    metrics = folder / name / "metrics.csv"
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


def compare(case: str, processes: list[int], folder: Path, steps: int) -> list[dict[str, Any]]:
    first, *others = processes
    alone, runs = fit(case, first, folder, steps), {str(n): fit(case, n, folder, steps) for n in others}
    if case in MOVED:
        runs["then ".join(f"{n} " for n in processes).strip()] = moved(case, processes, folder, steps)
    out = []
    for name, run in runs.items():
        apart = differences(alone, run)
        worst = max(apart, key=lambda name: apart[name])
        objectives = {name.split("/")[1] for name in apart if name.startswith("loss/")}
        out.append({"case": case, "processes": name, "against": first, "batches": len(alone), "figures": len(apart),
                    "objectives": len(objectives), "largest difference": apart[worst], "of": worst,
                    "equal": apart[worst] <= MOST})  # fmt: skip
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
    sys.exit(0 if all(row["equal"] for row in rows) else "some losses differ by more than they may")


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
        "| case | config | processes | objectives | logged batches | largest difference | of | at most 1e-5 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {r['case']} | {CASES[r['case']][0]}.yaml | {r['processes']} against {r['against']} | {r['objectives']} "
            f"| {r['batches']} | {r['largest difference']:.1e} | {r['of'].removeprefix('loss/')} "
            f"| {'yes' if r['equal'] else '**no**'} |"
            for r in rows
        ),
    ]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
