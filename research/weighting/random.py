"""Weights drawn anew in each step."""

from typing import Literal

import torch
from torch import Tensor

from research.ranks import from_first
from research.weighting.adaptive import Adaptive
from research.weighting.scheduled import Plan


class Random(Adaptive):
    """``w = k softmax(z)``, ``z ~ N(0, I)``, or ``w ~ k Dirichlet(1)`` (Lin et al. 2022, arXiv:2111.10603).

    k is the number of the step's objectives, so that a weight is 1 in the mean, and 1 where there is but one. Where
    a learned weighting is no better than this one, it has learned nothing.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`.
        distribution: ``normal`` or ``dirichlet``.
    """

    def __init__(self, weights: Plan | None = None, distribution: Literal["normal", "dirichlet"] = "normal") -> None:
        super().__init__(weights)
        self.distribution = distribution

    def factors(self, losses: Tensor, places: list[int]) -> Tensor:
        ones = torch.ones(len(places))
        normal = self.distribution == "normal"
        drawn = torch.randn_like(ones).softmax(0) if normal else torch.distributions.Dirichlet(ones).sample()
        return from_first(len(places) * drawn.to(losses.device))
