"""More for the objectives whose loss falls most slowly."""

import math

import torch
from torch import Tensor

from research.errors import UserError
from research.weighting.adaptive import Adaptive
from research.weighting.scheduled import Plan


class DynamicWeightAverage(Adaptive):
    """``w_i = K exp(r_i / T) / sum_j exp(r_j / T)``, ``r_i = L_i(t-1) / L_i(t-2)`` (Liu et al. 2019, arXiv:1803.10704).

    L_i(t) is the mean loss of block t, where the paper has epochs. A block without the objective is passed over,
    and r_i is 1 until there are two with it, and where the first of them has a loss of 0.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`.
        every: steps of a block, at least 1.
        temperature: T, above 0; the larger, the more equal the weights.
    """

    blocks: Tensor  # (2, K): the mean losses of the last two blocks with each objective, NaN before
    sums: Tensor  # (2, K): of this block, the losses and their number
    steps: Tensor  # of this block

    def __init__(self, weights: Plan | None = None, every: int = 100, temperature: float = 2.0) -> None:
        super().__init__(weights)
        if every < 1:
            raise UserError(f"model.weighting: every is {every}; it must be at least 1")
        if not 0 < temperature < math.inf:
            raise UserError(f"model.weighting: temperature is {temperature}; it must be above 0 and finite")
        self.every, self.temperature = every, temperature

    def start(self, count: int) -> None:
        self.register_buffer("blocks", torch.full((2, count), torch.nan))
        self.register_buffer("sums", torch.zeros(2, count))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def factors(self, losses: Tensor, places: list[int]) -> Tensor:
        rates = (self.blocks[1] / self.blocks[0]).nan_to_num(1.0, 1.0)
        weights = len(rates) * (rates / self.temperature).softmax(0)
        self._count(losses, places)
        return weights[places]

    def _count(self, losses: Tensor, places: list[int]) -> None:
        self.sums[0, places] += losses
        self.sums[1, places] += 1
        self.steps += 1
        over = self.steps == self.every  # kept on the device: nothing waits for it
        moved = torch.stack([self.blocks[1], self.sums[0] / self.sums[1]])
        self.blocks.copy_(torch.where(over & (self.sums[1] > 0), moved, self.blocks))
        self.sums.mul_(~over)
        self.steps.mul_(~over)
