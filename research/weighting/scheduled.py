"""Weights that move over training, such as a hand-over from pre-training to fine-tuning."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from research.errors import UserError
from research.weighting.base import Weighting


@dataclass
class Ramp:
    """From ``start`` to ``end`` between the shares ``begin`` and ``finish`` of training, all shares in [0, 1].

    ``step`` jumps at ``begin``; ``cosine`` follows half a cosine wave; ``constant`` stays at ``start``.
    """

    start: float
    end: float = 0.0
    shape: Literal["constant", "linear", "cosine", "step"] = "linear"
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        if min(self.start, self.end) < 0:
            raise UserError(f"model.weighting: a ramp from {self.start} to {self.end}; weights must be at least 0")
        if not 0 <= self.begin <= self.finish <= 1:
            raise UserError(
                f"model.weighting: begin {self.begin}, finish {self.finish}; need 0 <= begin <= finish <= 1"
            )

    def at(self, progress: float) -> float:
        """The weight at a share of training in [0, 1]."""
        if self.shape == "constant":
            return self.start
        if self.shape == "step" or self.begin == self.finish:
            return self.start if progress < self.begin else self.end
        x = min(max((progress - self.begin) / (self.finish - self.begin), 0.0), 1.0)
        share = x if self.shape == "linear" else (1 - math.cos(math.pi * x)) / 2
        return self.start + (self.end - self.start) * share


class Scheduled(Weighting):
    """Args:
    weights: for each objective a number at least 0 or a :class:`Ramp`; 1 for one that is not named.
    """

    def __init__(self, weights: dict[str, float | Ramp]) -> None:
        super().__init__()
        self.ramps = {n: w if isinstance(w, Ramp) else Ramp(w, w, "constant") for n, w in weights.items()}

    def names(self) -> Iterable[str]:
        return self.ramps

    def weight(self, name: str, progress: float) -> float:
        return self.ramps[name].at(progress) if name in self.ramps else 1.0
