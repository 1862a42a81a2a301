"""The same four-loss step in our module and in a Hugging Face Trainer, in turn; writes results.json and results.md.

python experiments/speed/run.py --steps 5 --warm-up 2 --repeats 3
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from research.precision import native_bfloat16

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SIDES = {
    "ours": ["ours.py"],
    "Trainer": ["trainer_peer.py"],
    "Trainer, heads at masked positions": ["trainer_peer.py", "--masked-heads"],
}


def peak_gflops(dtype: torch.dtype, size: int = 2048, seconds: float = 2.0) -> float:
    """The best rate of a square matrix product, in 10^9 multiplications and additions a second."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next(
        (line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.machine()
    )
    peaks = {"float32": peak_gflops(torch.float32)}
    if native_bfloat16():
        peaks["bfloat16"] = peak_gflops(torch.bfloat16)
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "native bfloat16": native_bfloat16(),
        "matrix peak (GFLOP/s)": {k: round(v) for k, v in peaks.items()},
        "torch": torch.__version__,
    }


def one(side: str, args: argparse.Namespace, work: Path) -> dict[str, float]:
    """Run one side in a process of its own."""
    out = work / "out.json"
    script, *more = SIDES[side]
    line = [sys.executable, str(HERE / script), *more, "--steps", str(args.steps), "--warm-up", str(args.warm_up),
            "--precision", args.precision, "--work", str(work), "--out", str(out)]  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(out.read_text())
    return {
        "tokens per second": figures["tokens"] / figures["seconds"],
        "peak memory (GB)": figures["peak_bytes"] / 1e9,
        "mean loss": figures["loss"],
    }


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def made_by(results: dict[str, Any]) -> list[str]:
    """The lines over a table that say where its figures come from."""
    about = results["machine"]
    return [
        f"CPU: {about['cpu']}, {about['cores']} cores, {about['instructions']}; "
        f"matrix peak {about['matrix peak (GFLOP/s)']} GFLOP/s; torch {about['torch']}.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}.",
        "",
    ]


def write(name: str, results: dict[str, Any], lines: list[str]) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n" + "\n".join(lines))


def spread(values: list[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def report(results: dict[str, Any]) -> str:
    """The Markdown table: medians over repeats with their range, and ratios taken repeat by repeat."""
    runs = results["runs"]
    lines = [
        f"CPU: {results['machine']['cpu']}, {results['machine']['cores']} cores, "
        f"{results['machine']['instructions']}; matrix peak {results['machine']['matrix peak (GFLOP/s)']} GFLOP/s; "
        f"torch {results['machine']['torch']}; {results['precision']}.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}; config `experiments/speed/step.yaml`.",
        "",
        "| | real tokens a second | peak resident memory, GB | ours: times the tokens | ours: share of the memory |",
        "|---|---|---|---|---|",
    ]
    for side, repeats in runs.items():
        speed = [r["tokens per second"] for r in repeats]
        memory = [r["peak memory (GB)"] for r in repeats]
        faster = [o["tokens per second"] / s for o, s in zip(runs["ours"], speed, strict=True)]
        smaller = [o["peak memory (GB)"] / m for o, m in zip(runs["ours"], memory, strict=True)]
        ratios = ["", ""] if side == "ours" else [spread(faster), spread(smaller)]
        lines.append("| " + " | ".join([side, spread(speed), spread(memory), *ratios]) + " |")
    return "\n".join([*lines, "", f"Median (least to most) of {results['repeats']} repeats in turn.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="steps that count, of each side and repeat")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    if args.precision == "bfloat16" and not native_bfloat16():
        sys.exit("this processor only emulates bfloat16, tens of times slower; nothing was measured")
    results: dict[str, Any] = {
        "command": f"python experiments/speed/run.py --steps {args.steps} --repeats {args.repeats}"
        f" --warm-up {args.warm_up} --precision {args.precision}",
        "commit": commit(),
        "precision": args.precision,
        "repeats": args.repeats,
        "machine": machine(),
        "runs": {side: [] for side in SIDES},
    }
    with tempfile.TemporaryDirectory() as work:
        for repeat in range(args.repeats):
            for side in SIDES:
                figures = one(side, args, Path(work))
                results["runs"][side].append(figures)
                print(
                    f"repeat {repeat + 1}: {side}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True
                )
    suffix = "" if args.precision == "float32" else f"_{args.precision}"
    (HERE / f"results{suffix}.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / f"results{suffix}.md").write_text(report(results))
    print("\n" + report(results))


if __name__ == "__main__":
    main()
