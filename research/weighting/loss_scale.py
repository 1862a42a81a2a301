"""Losses by their own running magnitude, so that their units do not matter."""

import torch
from torch import Tensor

from research.errors import UserError
from research.weighting.adaptive import Adaptive
from research.weighting.scheduled import Plan

SMALLEST = 1e-8


class LossScale(Adaptive):
    """``w_i = 1 / m_i``, with m_i the running mean of the objective's losses, corrected for its start at 0:

    ``m_i <- b m_i + (1 - b) |L_i|`` in steps with the objective. Each weighted loss is about 1, which is where
    the learned scales of IMTL-L come to rest (Liu et al. 2021, Towards Impartial Multi-task Learning), without
    learning them.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`; now shares of the whole.
        momentum: b, in [0, 1).
    """

    mean: Tensor  # (K,), float32
    steps: Tensor  # (K,), float32

    def __init__(self, weights: Plan | None = None, momentum: float = 0.99) -> None:
        super().__init__(weights)
        if not 0 <= momentum < 1:
            raise UserError(f"model.weighting: momentum is {momentum}; it must lie in [0, 1)")
        self.momentum = momentum

    def start(self, count: int) -> None:
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("steps", torch.zeros(count))

    def factors(self, losses: Tensor, places: list[int]) -> Tensor:
        self.mean[places] = self.momentum * self.mean[places] + (1 - self.momentum) * losses.abs()
        self.steps[places] += 1
        corrected = self.mean[places] / (1 - self.momentum ** self.steps[places])
        return 1 / corrected.clamp_min(SMALLEST)
