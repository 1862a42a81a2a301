"""The clock that both sides are measured by."""

import json
import resource
import sys
import time
from pathlib import Path


class Clock:
    """Notes when each optimiser step ended, how many real tokens it had read, and its loss.

    Real tokens are those of the documents, special ones included: padding and further views do not count.
    """

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.tokens: list[int] = []
        self.losses: list[float] = []

    def step(self, tokens: int, loss: float) -> None:
        self.tokens.append(tokens)
        self.losses.append(loss)
        self.ends.append(time.perf_counter())

    def write(self, path: Path, warm_up: int) -> None:
        """Tokens, seconds and mean loss of the steps after the first ``warm_up``; peak resident memory in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        counted = self.losses[warm_up:]
        figures = {
            "tokens": sum(self.tokens[warm_up:]),
            "seconds": self.ends[-1] - self.ends[warm_up - 1],
            "steps": len(counted),
            "loss": sum(counted) / len(counted),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        }
        path.write_text(json.dumps(figures))
