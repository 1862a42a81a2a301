"""Training signal annealing: labels that the student is sure of wait (Xie et al. 2020, arXiv:1904.12848)."""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.models.starts import Start
from research.objectives.classification import Classification
from research.ranks import of_all_ranks
from research.step import Step, View

RISE: dict[str, Callable[[float], float]] = {  # from the share of training to that of the way from 1/C to 1
    "linear": lambda t: t,
    "exp": lambda t: math.exp(5 * (t - 1)),
    "log": lambda t: 1 - math.exp(-5 * t),
}


def annealed_loss(logits: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Mean cross entropy of those of (N, C) logits that give their label (N,) a probability below ``threshold``."""
    losses = F.cross_entropy(logits, labels, reduction="none")
    unsure = losses.detach() > -math.log(threshold)
    return (losses * unsure).sum() / unsure.sum().clamp_min(1)


class AnnealedClassification(Classification):
    """Cross entropy of the labelled examples whose label has less than a probability that rises from 1/C to 1.

    So that few labels are not learned by heart long before the unlabelled text has told what it can, as :class:`UDA`
    lets it.

    Args:
        stream: a task with problem ``classify``.
        batches: over how many of its batches the threshold rises, at least 1.
        shape: ``exp`` releases most labels late, for very few of them; ``log`` early.
        view: as for :class:`Classification`, like ``start``.
    """

    problems = ("classify",)
    gathers = True
    seen: Tensor

    def __init__(
        self,
        stream: str,
        batches: int,
        shape: Literal["linear", "exp", "log"] = "linear",
        view: View | None = None,
        start: Start | None = None,
    ) -> None:
        super().__init__(stream, view=view, start=start)
        if batches < 1:
            raise UserError(f"batches is {batches}; it must be at least 1")
        self.batches, self.shape = batches, shape
        self.register_buffer("seen", torch.tensor(0))

    def threshold(self, classes: int) -> float:
        share = min(int(self.seen) / self.batches, 1.0)
        return 1.0 if share == 1 else RISE[self.shape](share) * (1 - 1 / classes) + 1 / classes

    def forward(self, step: Step) -> Tensor:
        logits, labels = of_all_ranks(self._logits(step)), of_all_ranks(step.labels(self.stream))
        loss = annealed_loss(logits, labels, self.threshold(logits.shape[-1]))
        self.seen += int(self.training)
        return loss
