"""The four-loss step on a GPU, ours and a Hugging Face Trainer's in turn; writes results_gpu.json and results_gpu.md.

python experiments/speed/gpu.py --batches 16 128 --steps 10 --warm-up 5 --repeats 5
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from clock import Side, comparison, counts, in_turn
from common import HERE, commit, peak_gflops, spread, table, times, write

OURS = "ours"
SIDES: dict[str, list[str]] = {
    OURS: ["ours.py"],
    "ours, not deterministic": ["ours.py", "--trainer.deterministic", "false"],
    "Trainer": ["trainer_peer.py"],
    "Trainer, heads at masked positions": ["trainer_peer.py", "--masked-heads"],
}
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
HEAD = (
    "precision", "batch", "", "real tokens a second", "share of the matrix peak, %", "peak memory, GB",
    "ours: times the tokens", "ours: share of the memory",
)  # fmt: skip


def measure(precision: str, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """The turns of each side. They share the GPU's memory, of which a waiting side keeps what its tensors take."""
    given = [*counts(args), "--precision", precision, "--device", "cuda"]
    of_script = {
        "ours.py": ["--trainer.accelerator", "cuda", "--trainer.devices", "1",
                    "--data.streams.news.init_args.batch_size", str(batch)],
        "trainer_peer.py": ["--batch", str(batch)],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sides = [
            Side(
                name,
                [sys.executable, HERE / script, *more, *of_script[script], *given, "--work", work],
                work / "errors",
            )
            for name, (script, *more) in SIDES.items()
        ]
        return {"precision": precision, "batch": batch, "runs": in_turn(sides, args.repeats)}


def report(results: Mapping[str, Any]) -> list[str]:
    """The Markdown table: medians over repeats with their range, and ratios taken repeat by repeat."""
    peaks = results["matrix peak (TFLOP/s)"]
    rows = []
    for setting in results["settings"]:
        runs = setting["runs"]
        for side, turns in runs.items():
            speed, memory = ([turn[name] for turn in turns] for name in ("tokens per second", "peak memory (GB)"))
            share = [100 * turn["FLOP per token"] * s / 1e12 / peaks[setting["precision"]]
                     for turn, s in zip(turns, speed, strict=True)]  # fmt: skip
            mine = [[turn[name] for turn in runs[OURS]] for name in ("tokens per second", "peak memory (GB)")]
            ratios = [spread(times(*pair)) if side != OURS else "" for pair in zip(mine, (speed, memory), strict=True)]
            rows.append([setting["precision"], setting["batch"], side, *map(spread, (speed, share, memory)), *ratios])
    return [
        f"{results['device']}; matrix peak {peaks} TFLOP/s; torch {results['torch']}; attention: SDPA.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}; config `experiments/speed/step.yaml`.",
        "",
        *table(HEAD, rows),
        "",
        f"Median (least to most) of {results['repeats']} repeats of {results['steps']} steps, in turn. "
        "bfloat16 is mixed. Memory is what tensors take at most.",
    ]


def main() -> None:
    parser = comparison(__doc__, steps=10, warm_up=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--precisions", choices=PRECISIONS, nargs="+", default=list(PRECISIONS))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu: left out, there is no GPU here")
        return
    asked = ["--batches", *map(str, args.batches), "--precisions", *args.precisions, *counts(args)]
    results: dict[str, Any] = {
        "command": f"python experiments/speed/gpu.py {' '.join(asked)}",
        "commit": commit(),
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "steps": args.steps,
        "repeats": args.repeats,
        "matrix peak (TFLOP/s)": {
            name: round(peak_gflops(PRECISIONS[name], 8192, device="cuda") / 1000) for name in args.precisions
        },
        "settings": [],
    }
    for precision in args.precisions:
        for batch in args.batches:
            print(f"{precision}, batch {batch}", flush=True)
            results["settings"].append(measure(precision, batch, args))
            write("results_gpu", results, report(results))


if __name__ == "__main__":
    main()
