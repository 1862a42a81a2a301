"""Weights under which all objectives pull at the shared parameters as hard as their progress calls for."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.sharding import Whole
from research.weighting.adaptive import Adaptive
from research.weighting.base import Weights
from research.weighting.gradients import gradient, trainable
from research.weighting.scheduled import Plan


class GradNorm(Adaptive, Whole):
    """Descends ``sum_i |G_i / mean(G) - r_i^alpha|``, ``G_i = w_i |grad_W L_i|`` (Chen et al. 2018, arXiv:1711.02257).

    ``r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0))`` is large where an objective has come less far than the others.
    Means and r_i^alpha carry no gradient. Here ``w = K softmax(z)``, which keeps the sum at K and all weights above
    0, and dividing by mean(G) frees the rate of z from the unit of the losses. An objective that a step lacks
    counts with its last norm and loss; before it has any, or while its loss is 0, its weight is 1.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`; they multiply the balanced weights.
        alpha: at least 0; 0 makes all norms equal, a larger one favours the objectives that lag.
        lr: rate of z, above 0.
        layers: W, the ``last`` layer of the backbone, or ``all`` of them, which costs a backward pass an objective.
    """

    logits: Tensor  # z (K,)
    norms: Tensor  # (K,), unweighted, NaN before the first step with the objective
    losses: Tensor  # (2, K), the first that is not 0 and the last, NaN before

    def __init__(
        self,
        weights: Plan | None = None,
        alpha: float = 1.5,
        lr: float = 0.025,
        layers: Literal["last", "all"] = "last",
    ) -> None:
        super().__init__(weights)
        if not 0 <= alpha < math.inf:
            raise UserError(f"model.weighting: alpha is {alpha}; it must be at least 0 and finite")
        if not 0 < lr < math.inf:
            raise UserError(f"model.weighting: lr is {lr}; it must be above 0 and finite")
        self.alpha, self.lr, self.layers = alpha, lr, layers
        self._step: dict[str, Tensor] = {}

    def build(
        self, objectives: Sequence[str], shared: Sequence[list[nn.Parameter]], parameters: Sequence[nn.Parameter]
    ) -> None:
        super().build(objectives, shared, parameters)
        layers = trainable(shared, self)
        self.read = layers[0] if self.layers == "last" else [p for layer in layers for p in layer]

    def start(self, count: int) -> None:
        self.register_buffer("logits", torch.zeros(count))
        self.register_buffer("norms", torch.full((count,), torch.nan))
        self.register_buffer("losses", torch.full((2, count), torch.nan))

    def factors(self, losses: Tensor, places: list[int]) -> Tensor:
        first = self.losses[0, places]
        begins = first.isnan() & (losses != 0)  # a pull to the first weights is 0 in the first step
        self.losses[0, places] = torch.where(begins, losses, first)
        self.losses[1, places] = losses
        known = ~self.norms.isnan()
        factors = torch.ones_like(self.logits)
        factors[known] = balanced(self.logits[known])
        return factors[places]

    def forward(self, losses: Mapping[str, Tensor], progress: float) -> tuple[Tensor, Weights]:
        self._step = dict(losses)
        return super().forward(losses, progress)

    def backward(self, loss: Tensor) -> Weights:
        losses, self._step = self._step, {}
        if losses:
            seeds = torch.autograd.grad(loss, list(losses.values()), retain_graph=True)
            for (name, each), seed in zip(losses.items(), seeds, strict=True):
                norm = gradient([each], [seed], self.read)[0].norm() / seed  # whatever the loss was multiplied by
                old = self.norms[self.places[name]]
                self.norms[self.places[name]] = torch.where(norm.isfinite() & (norm > 0), norm, old)
            self._balance()
        return super().backward(loss)

    def _balance(self) -> None:
        known = ~self.norms.isnan()
        with torch.enable_grad():
            logits = self.logits[known].requires_grad_()
            pulls = balanced(logits) * self.norms[known]  # G (k,)
            progress = self.losses[1, known] / self.losses[0, known]
            target = (progress / progress.mean()) ** self.alpha
            imbalance = (pulls / pulls.detach().mean() - target).abs().sum()
            (slope,) = torch.autograd.grad(imbalance, logits)
        self.logits[known] -= self.lr * slope


def balanced(logits: Tensor) -> Tensor:
    """Weights (k,) with the sum k."""
    return len(logits) * logits.softmax(0)
