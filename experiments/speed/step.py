"""The same four-loss step in our module and in a Hugging Face Trainer, in turn; writes results.json, .md and .png.

python experiments/speed/step.py --steps 1 --warm-up 1 --repeats 5
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from clock import Side, comparison, counts, in_turn
from common import HERE, commit, machine, made_by, peak_gflops, plot_ratios, run, spread, table, times, write

from research.precision import native_bfloat16

LIVE, CACHED = "ours", "ours, cached teacher"
TRAINER, MASKED = "Trainer", "Trainer, heads at masked positions"
SIDES: dict[str, list[str]] = {
    LIVE: ["ours.py"],
    CACHED: ["ours.py", "--cached"],
    TRAINER: ["trainer_peer.py"],
    MASKED: ["trainer_peer.py", "--masked-heads"],
}
GOALS: dict[str, dict[str, float]] = {  # for each precision, times the Trainer's tokens, then shares
    "float32": {LIVE: 2.2, CACHED: 3.0, "peak": 0.8, "memory": 0.4},
    "bfloat16": {LIVE: 3.0, CACHED: 4.0, "peak": 0.6, "memory": 0.4},
}
EQUAL = {"float32": 1e-3, "bfloat16": 2e-2}  # how far losses may lie apart; a cache keeps states in half precision
HEAD = (
    "real tokens a second", "ours: times as many", "cached: times as many", "GFLOP a real token",
    "share of the matrix peak", "peak resident memory, GB", "ours: share of it",
)  # fmt: skip
PAIRS = ((LIVE, CACHED), (TRAINER, MASKED))


def cache_teacher(work: Path, steps: int, further: Sequence[str] = ()) -> None:
    """Write what the teacher will be asked in so many steps, with further settings; no clock runs."""
    settings = {"config": HERE / "step.yaml", "trainer.max_steps": steps, "path": work / "teacher",
                "data.cache": work / "tokens", "run.folder": work / "runs"}  # fmt: skip
    given = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    run([sys.executable, "-m", "research.cli", "teacher", "cache", *given, *further])


def measure(precision: str, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The turns of all sides, and the machine's matrix peak (GFLOP/s) before each repeat."""
    total = args.warm_up + args.steps * args.repeats
    cache_teacher(work, total)
    sides = [
        Side(
            name,
            [sys.executable, HERE / script, *more, *counts(args), "--precision", precision, "--work", work],
            work / "errors",
        )
        for name, (script, *more) in SIDES.items()
    ]  # fmt: skip
    peaks: list[float] = []
    dtype = getattr(torch, precision)
    runs = in_turn(sides, args.repeats, lambda: peaks.append(peak_gflops(dtype, seconds=1.0)))
    for pair in PAIRS:
        first, second = ([turn["mean loss"] for turn in runs[name]] for name in pair)
        apart = max(abs(a - b) / a for a, b in zip(first, second, strict=True))
        if apart > EQUAL[precision]:
            sys.exit(f"{pair[0]} and {pair[1]} computed other losses, by {apart:.2g} of them: nothing was written")
    return {"runs": runs, "matrix peaks (GFLOP/s)": peaks}


def shares(measured: Mapping[str, Any], side: str) -> list[float]:
    """Of the matrix peak, repeat by repeat."""
    turns = measured["runs"][side]
    rates = [turn["FLOP per token"] * turn["tokens per second"] / 1e9 for turn in turns]
    return times(rates, measured["matrix peaks (GFLOP/s)"])


def column(measured: Mapping[str, Any], side: str, figure: str) -> list[float]:
    return [turn[figure] for turn in measured["runs"][side]]


def against_goals(precision: str, measured: Mapping[str, Any]) -> dict[str, tuple[list[float], float, bool]]:
    """For each goal what was measured, repeat by repeat, the goal, and whether the median reaches it."""
    speed = {side: column(measured, side, "tokens per second") for side in SIDES}
    memory = {side: column(measured, side, "peak memory (GB)") for side in SIDES}
    goals = GOALS[precision]
    found = {
        "times the Trainer's tokens a second": (times(speed[LIVE], speed[TRAINER]), goals[LIVE]),
        "the same, cached teacher": (times(speed[CACHED], speed[TRAINER]), goals[CACHED]),
        "share of the matrix peak": (shares(measured, LIVE), goals["peak"]),
        "share of the Trainer's peak memory": (times(memory[LIVE], memory[TRAINER]), goals["memory"]),
    }
    return {
        name: (values, goal, median(values) <= goal if "memory" in name else median(values) >= goal)
        for name, (values, goal) in found.items()
    }


def report(results: Mapping[str, Any]) -> list[str]:
    """Goals beside the measured, then the sides: medians over repeats with their range."""
    lines = [*made_by(results), "Config `experiments/speed/step.yaml`.", ""]
    rows = [
        [f"{name}, {precision}", spread(values), goal, "yes" if reached else "no"]
        for precision, measured in results["precisions"].items()
        for name, (values, goal, reached) in against_goals(precision, measured).items()
    ]
    lines += table(["ours", "measured", "goal", "reached"], rows)
    for precision, measured in results["precisions"].items():
        rows = []
        for side in SIDES:
            speed, memory = (column(measured, side, name) for name in ("tokens per second", "peak memory (GB)"))
            ratios = [
                spread(times(column(measured, mine, "tokens per second"), speed)) if mine != side else ""
                for mine in (LIVE, CACHED)
            ]
            flops = column(measured, side, "FLOP per token")[0] / 1e9
            share = spread(shares(measured, side))
            smaller = spread(times(column(measured, LIVE, "peak memory (GB)"), memory)) if side != LIVE else ""
            rows.append([side, spread(speed), *ratios, f"{flops:.3g}", share, spread(memory), smaller])
        lines += ["", *table([precision, *HEAD], rows)]
    lines += ["", f"Median (least to most) of {results['repeats']} repeats in turn, ratios repeat by repeat."]
    if "bfloat16" not in results["precisions"]:
        lines += ["", "bfloat16 is left out: this processor only emulates it, or it was not asked for."]
    return lines


def plot(results: Mapping[str, Any]) -> None:
    ratios, goals = dict[str, list[float]](), dict[str, float]()
    for precision, measured in results["precisions"].items():
        for side in (LIVE, CACHED):
            for peer in (TRAINER, MASKED):
                name = f"{side} / {peer}, {precision}"
                ratios[name] = times(*(column(measured, one, "tokens per second") for one in (side, peer)))
                if peer == TRAINER:
                    goals[name] = GOALS[precision][side]
    plot_ratios("results", ratios, "times the peer's real tokens a second", goals)


def main() -> None:
    parser = comparison(__doc__)
    known = ["float32", *(["bfloat16"] if native_bfloat16() else [])]
    parser.add_argument("--precisions", nargs="+", choices=known, default=known, help="which this processor multiplies")
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    given = " ".join(counts(args))
    results: dict[str, Any] = {
        "command": f"python experiments/speed/step.py {given} --precisions {' '.join(args.precisions)}",
        "commit": commit(),
        "repeats": args.repeats,
        "machine": machine(),
        "precisions": {},
    }
    for precision in args.precisions:
        print(precision, flush=True)
        with tempfile.TemporaryDirectory() as work:
            results["precisions"][precision] = measure(precision, args, Path(work))
    write("results", results, report(results))
    plot(results)


if __name__ == "__main__":
    main()
