"""Weights by the noise that the model sees in each objective, learned along with it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.weighting.base import Weights
from research.weighting.scheduled import Plan, Scheduled


class Uncertainty(Scheduled):
    """``sum_i exp(-s_i) L_i + s_i / 2`` with a learned ``s_i = log sigma_i^2`` (Kendall et al. 2018, arXiv:1705.07115).

    This is a likelihood with a temperature, for cross entropies. That of a Gaussian, for squared errors, is
    ``exp(-s_i) L_i / 2 + s_i / 2``. The s_i start at 0; those of objectives that a step lacks stay as they are.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`; they multiply all of a term.
        regression: the objectives whose loss is a squared error.
        lr: peak rate of the s_i, above 0. They have further to go than a model that is fine-tuned.
    """

    def __init__(self, weights: Plan | None = None, regression: list[str] | None = None, lr: float = 0.01) -> None:
        super().__init__(weights or {})
        if not 0 < lr < math.inf:
            raise UserError(f"model.weighting: lr is {lr}; it must be above 0 and finite")
        self.regression, self.lr = regression or [], lr
        self.log_variances = nn.ParameterDict()

    def check(self, objectives: Iterable[str]) -> None:
        known = list(objectives)
        super().check(known)
        if unknown := [name for name in self.regression if name not in known]:
            raise UserError(f"model.weighting.regression: no objective {unknown[0]}; there are {', '.join(known)}")

    def build(
        self, objectives: Sequence[str], shared: Sequence[list[nn.Parameter]], parameters: Sequence[nn.Parameter]
    ) -> None:
        for name in objectives:
            if name not in self.log_variances:
                self.log_variances[name] = nn.Parameter(torch.zeros(1))  # sharding strategies divide no scalars

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.log_variances.values()), "lr": self.lr, "weight_decay": 0.0, "name": "weighting"}]

    def forward(self, losses: Mapping[str, Tensor], progress: float) -> tuple[Tensor, Weights]:
        planned = self.weights_of(losses, progress)
        total, weights = torch.zeros_like(next(iter(losses.values()))), {}
        for name, loss in losses.items():
            s = self.log_variances[name].squeeze()
            share = (-s).exp() * (0.5 if name in self.regression else 1.0)
            total = total + planned[name] * (share * loss + s / 2)
            weights[name] = planned[name] * share.detach()
        return total, weights
