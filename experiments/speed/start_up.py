"""Seconds from a command to its first step, ours and a Trainer's, in turn; writes results_start_up.json and .md.

python experiments/speed/start_up.py --repeats 3
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clock import Side
from common import HERE, commit, machine, made_by, run, spread, table, write

GIVEN = ["--warm-up", "0", "--steps", "1", "--repeats", "1", "--precision", "float32"]


def first_step(script: str, work: Path) -> None:
    """Start a side and end it where its first step would begin."""
    work.mkdir(exist_ok=True)
    Side(script, [sys.executable, HERE / script, *GIVEN, "--work", work], work / "errors").end()


def commands(work: Path, repeat: int) -> dict[str, Callable[[], object]]:
    return {
        "python -c 'import torch, transformers'": lambda: run([sys.executable, "-c", "import torch, transformers"]),
        "python -m research.cli --help": lambda: run([sys.executable, "-m", "research.cli", "--help"]),
        "python -m research.cli fit --help": lambda: run([sys.executable, "-m", "research.cli", "fit", "--help"]),
        "fit to its first step, texts not tokenised yet": lambda: first_step("ours.py", work / f"{repeat}"),
        "fit to its first step": lambda: first_step("ours.py", work / f"{repeat}"),
        "a Trainer's script to its first step": lambda: first_step("trainer_peer.py", work / "trainer"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    results: dict[str, Any] = {
        "command": f"python experiments/speed/start_up.py --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
    }
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work:
        for repeat in range(args.repeats):
            for name, call in commands(Path(work), repeat).items():
                start = time.perf_counter()
                call()
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                print(f"repeat {repeat + 1}: {name}: {seconds[name][-1]:.3g} s", flush=True)
    results["seconds"] = seconds
    lines = [*made_by(results), *table(["", "seconds"], [[name, spread(taken)] for name, taken in seconds.items()])]
    told = "Config `experiments/speed/step.yaml` and its peer: both load student and teacher, and read BBC News."
    lines += ["", f"{told} Median (least to most) of {args.repeats} repeats in turn."]
    write("results_start_up", results, lines)


if __name__ == "__main__":
    main()
