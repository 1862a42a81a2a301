"""The clock that both sides are measured by, and the turns they take."""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from common import ROOT, environment
from counts import flop_counter
from torch.utils.flop_counter import FlopCounterMode

MARK = "TURN "


class Clock:
    """Notes what each turn of ``steps`` optimiser steps took; after the warm-up and each turn it waits for its next.

    Real tokens are those of the documents, special ones included: padding and further views do not count. The FLOPs of
    the first step are counted, padding and what is computed twice included, which needs :meth:`begin`.
    """

    def __init__(self, warm_up: int, steps: int, device: str = "cpu") -> None:
        self.left, self.steps, self.device = warm_up, steps, device
        self.counter: FlopCounterMode | None = flop_counter()
        self.flops_a_token: float | None = None
        self._anew()

    def _anew(self) -> None:
        self.tokens, self.losses, self.start = 0, list[float](), time.perf_counter()

    def begin(self) -> None:
        """A step begins; without a warm-up the first one waits for its turn."""
        if self.left == 0:
            self._hand_over(0.0)
        if self.counter is not None:
            self.counter.__enter__()

    def step(self, tokens: int, loss: float) -> None:
        """A step has ended."""
        if self.counter is not None:
            self.counter.__exit__(None, None, None)
            self.flops_a_token, self.counter = self.counter.get_total_flops() / tokens, None
        self.tokens += tokens
        self.losses.append(loss)
        self.left -= 1
        if self.left == 0:
            if self.device == "cuda":
                torch.cuda.synchronize()
            self._hand_over(time.perf_counter() - self.start)

    def _peak_bytes(self) -> int:
        """Resident ones of the process; on a GPU those of its tensors, whose freed memory goes to the other sides."""
        if self.device == "cuda":
            torch.cuda.empty_cache()
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def _hand_over(self, seconds: float) -> None:
        figures = {
            "seconds": seconds,
            "tokens": self.tokens,
            "tokens per second": self.tokens / seconds if self.losses else None,
            "peak memory (GB)": self._peak_bytes() / 1e9,
            "FLOP per token": self.flops_a_token,
            "mean loss": sum(self.losses) / len(self.losses) if self.losses else None,
        }
        print(f"\n{MARK}{json.dumps(figures)}", flush=True)
        if not sys.stdin.readline():  # no further turn comes
            os._exit(0)
        self.left = self.steps
        self._anew()


def arguments() -> argparse.ArgumentParser:
    """What each side of a comparison is told; its script may add more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what the side writes")
    return parser


def comparison(told: str | None, steps: int = 1, warm_up: int = 1) -> argparse.ArgumentParser:
    """What a comparison is told; its script may add more."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=steps, help="steps of a side's turn")
    parser.add_argument("--warm-up", type=int, default=warm_up, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    return parser


def counts(args: argparse.Namespace) -> list[str]:
    """The part of it that each side is told too."""
    return ["--steps", str(args.steps), "--warm-up", str(args.warm_up), "--repeats", str(args.repeats)]


class Side:
    """A process that takes turns: it computes only while its turn runs.

    Args:
        name: what tables call it.
        line: its command; the process has a :class:`Clock`.
        log: where its errors go.
    """

    def __init__(self, name: str, line: Sequence[str | Path], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in line], cwd=ROOT, env=environment(), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self.warm_up = self._figures()

    def turn(self) -> dict[str, Any]:
        """The figures of its next steps."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._figures()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _figures(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                figures: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return figures
        sys.exit(f"{self.name} ended before its turn did:\n{self.log.read_text()[-3000:]}")


def in_turn(
    sides: Sequence[Side], repeats: int, before: Callable[[], object] = lambda: None
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each side's turns, repeat by repeat: within a repeat all sides have one, after ``before()``."""
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for repeat in range(repeats):
        before()
        for side in sides:
            figures = side.turn()
            runs[side.name].append(figures)
            told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items() if value is not None)
            print(f"repeat {repeat + 1}: {side.name}: {told}", flush=True)
    for side in sides:
        side.end()
    return runs
