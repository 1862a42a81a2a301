"""One side of ``gpu.py``: reads settings as JSON lines, trains each, and stops where its figures are due."""

import argparse
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Turnstile:
    """A clock that stops the training after the warm-up, and after each ``steps`` steps, until it is told to go on."""

    def __init__(self, device: str, warm_up: int, steps: int, say: Callable[[dict[str, Any]], None]) -> None:
        self.device, self.steps, self.say, self.left = device, steps, say, warm_up
        self.start, self.tokens, self.loss = time.perf_counter(), 0, 0.0
        self.before = 0
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def step(self, tokens: int, loss: float) -> None:
        self.left, self.tokens, self.loss = self.left - 1, self.tokens + tokens, self.loss + loss
        if self.left:
            return
        if self.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.start
        figures = {"tokens": self.tokens, "seconds": seconds, "loss": self.loss / self.steps, "bytes": self._peak()}
        self.say(figures)
        self.left, self.tokens, self.loss = self.steps, 0, 0.0
        sys.stdin.readline()
        self.start = time.perf_counter()

    def _peak(self) -> int:
        """Bytes of the GPU that tensors took at most; resident ones on a CPU."""
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated() - self.before
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "Trainer"])
    parser.add_argument("--settings", type=json.loads, default={}, help="of our command line, or of the peer's build")
    parser.add_argument("--device", required=True)
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1)  # what libraries print goes elsewhere
    os.dup2(2, 1)

    def say(figures: dict[str, Any]) -> None:
        print(json.dumps(figures), file=out)

    if args.side == "ours":
        import ours as side

        side.quieten()
    else:
        import trainer_peer as side
    say({"ready": True})
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            try:
                train(side, args, json.loads(line), Path(folder), say)
                say({"done": True})
            except Exception as error:  # of this setting; the next may do, such as a smaller batch
                print(repr(error), file=sys.stderr, flush=True)
                say({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
            gc.collect()
            if args.device == "cuda":
                torch.cuda.empty_cache()


def train(side: Any, args: argparse.Namespace, asked: dict[str, Any], work: Path, say: Any) -> None:
    """Train one setting, whose figures the turnstile says."""
    torch.set_float32_matmul_precision("high" if asked["precision"] == "tf32" else "highest")
    clock = Turnstile(args.device, asked["warm_up"], asked["steps"], say)
    steps, bfloat16 = asked["warm_up"] + asked["repeats"] * asked["steps"], asked["precision"] == "bfloat16"
    if args.side == "ours":
        side.fit(
            clock,
            steps,
            "bf16-mixed" if bfloat16 else "32-true",
            work,
            trainer__accelerator=args.device,
            trainer__devices=1,
            data__streams__news__init_args__batch_size=asked["batch"],
            **args.settings,
        )
    else:
        precision = "bfloat16" if bfloat16 else "float32"
        side.build(clock, steps, precision, work, device=args.device, batch=asked["batch"], **args.settings).train()


if __name__ == "__main__":
    main()
