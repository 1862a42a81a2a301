"""A number that moves over training: the weight of an objective, the probability of a stream."""

import math
from dataclasses import dataclass
from typing import Literal

from research.errors import UserError


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
        if not (0 <= self.start < math.inf and 0 <= self.end < math.inf):
            raise UserError(f"a ramp from {self.start} to {self.end}; both must be at least 0 and finite")
        if not 0 <= self.begin <= self.finish <= 1:
            raise UserError(f"a ramp with begin {self.begin} and finish {self.finish}; need 0 <= begin <= finish <= 1")

    def at(self, progress: float) -> float:
        """The number at a share of training in [0, 1]."""
        if self.shape == "constant":
            return self.start
        if self.shape == "step" or self.begin == self.finish:
            return self.start if progress < self.begin else self.end
        x = min(max((progress - self.begin) / (self.finish - self.begin), 0.0), 1.0)
        share = x if self.shape == "linear" else (1 - math.cos(math.pi * x)) / 2
        return self.start + (self.end - self.start) * share
