"""What each of our switches gives on the four-loss step, beside the step as it is; writes results_switches.json, .md.

python experiments/speed/switches.py --steps 1 --warm-up 1 --repeats 5
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from clock import Side, comparison, counts, in_turn
from common import HERE, commit, machine, made_by, spread, table, times, write
from step import cache_teacher

from research.precision import native_bfloat16

BASE = "as it is"
SWITCHES: dict[str, list[str]] = {  # what is told beside step.yaml
    "a cached teacher": ["--cached"],
    "trainer.precision: bf16-mixed": ["--precision", "bfloat16"],
    "model.student.gradient_checkpointing: true": ["--model.student.gradient_checkpointing", "true"],
    "model.student.chunk: 16": ["--model.student.chunk", "16"],
    "data.num_workers: 1": ["--data.num_workers", "1"],
    "dropout 0": ["--model.student.dropout", "0.0"],
    "layers 0, 2 and 5 alone": ["--model.student.keep_layers", "[0, 2, 5]"],
}


def measure(switch: list[str], args: argparse.Namespace, work: Path) -> dict[str, list[dict[str, Any]]]:
    given = [*counts(args), "--precision", "float32", "--work", str(work)]
    if "--cached" in switch:
        cache_teacher(work, args.warm_up + args.steps * args.repeats)
    lines = {BASE: given, "switched": [*given, *switch]}
    sides = [Side(name, [sys.executable, HERE / "ours.py", *line], work / "errors") for name, line in lines.items()]
    return in_turn(sides, args.repeats)


def main() -> None:
    parser = comparison(__doc__)
    args = parser.parse_args()
    given = " ".join(counts(args))
    results: dict[str, Any] = {
        "command": f"python experiments/speed/switches.py {given}",
        "commit": commit(),
        "machine": machine(),
        "switches": {},
    }
    rows = []
    for name, switch in SWITCHES.items():
        if "bfloat16" in switch and not native_bfloat16():
            rows.append([name, "left out: this processor only emulates it", "", ""])
            continue
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as work:
            runs = results["switches"][name] = measure(switch, args, Path(work))
        ratios = [
            spread(times(*([turn[figure] for turn in runs[side]] for side in ("switched", BASE))))
            for figure in ("tokens per second", "peak memory (GB)")
        ]
        rows.append([name, *ratios, f"{runs['switched'][0]['FLOP per token'] / runs[BASE][0]['FLOP per token']:.2f}"])
    head = ["switch", "times the tokens a second", "times the peak memory", "times the FLOPs"]
    end = f"`step.yaml` in float32 with a live teacher is 1; median (least to most) of {args.repeats} repeats in turn."
    write("results_switches", results, [*made_by(results), *table(head, rows), "", end])


if __name__ == "__main__":
    main()
