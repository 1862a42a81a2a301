"""What all measurements share: where a figure was made, medians with their range, tables and plots."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from research.evaluation.plot import canvas, save
from research.precision import native_bfloat16

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def peak_gflops(dtype: torch.dtype, size: int = 2048, seconds: float = 2.0, device: str = "cpu") -> float:
    """The best rate of a square matrix product, in 10^9 multiplications and additions a second."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
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
        "load average before": round(os.getloadavg()[0], 1),
    }


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def environment() -> dict[str, str]:
    """Of a process of its own: it finds the project, and downloads nothing."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def run(line: Sequence[str | Path], **settings: Any) -> str:
    """The standard output of a process of its own, in the project's folder; if it fails, its last words and exit."""
    given = {"cwd": ROOT, "env": environment(), **settings}
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True, **given)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, line[1:3]))} failed:\n{done.stderr[-3000:]}")
    return str(done.stdout)


def made_by(results: Mapping[str, Any]) -> list[str]:
    """The lines over a table that say where its figures come from."""
    about = results["machine"]
    peaks = ", ".join(f"{name} {peak}" for name, peak in about["matrix peak (GFLOP/s)"].items())
    return [
        f"CPU: {about['cpu']}, {about['cores']} cores, {about['instructions']}; "
        f"matrix peak in GFLOP/s: {peaks}; torch {about['torch']}; "
        f"load average before {about['load average before']}.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}.",
        "",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def write(name: str, results: Mapping[str, Any], lines: Sequence[str]) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n" + "\n".join(lines), flush=True)


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def times(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Ratios repeat by repeat."""
    return [a / b for a, b in zip(over, under, strict=True)]


def plot_ratios(name: str, ratios: Mapping[str, Sequence[float]], what: str, goals: Mapping[str, float]) -> None:
    """One line a ratio, its median and range, and its goal where it has one; writes ``name``.png."""
    figure, axes = canvas()
    figure.set_size_inches(10, 1.2 + 0.4 * len(ratios))
    places = range(len(ratios), 0, -1)
    middles = [median(values) for values in ratios.values()]
    sides = [
        [m - min(v) for m, v in zip(middles, ratios.values(), strict=True)],
        [max(v) - m for m, v in zip(middles, ratios.values(), strict=True)],
    ]
    axes.errorbar(middles, places, xerr=sides, fmt="o", capsize=4)
    marked = [(goals[key], place) for key, place in zip(ratios, places, strict=True) if key in goals]
    if marked:
        axes.plot(*zip(*marked, strict=True), "|", markersize=18, markeredgewidth=2.5)
    axes.axvline(1.0, color="grey", linewidth=1)
    axes.set_yticks(list(places), list(ratios))
    axes.set_ylim(0.4, len(ratios) + 0.6)
    axes.set_xlabel(f"{what}: median, least and most{'; upright, the goal' if marked else ''}")
    save(figure, axes, HERE / f"{name}.png")
