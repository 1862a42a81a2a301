"""Mixup of sentence embeddings (Zhang et al. 2018, arXiv:1710.09412; Guo et al. 2019, arXiv:1905.08941)."""

import torch
from torch import Tensor
from torch.distributions import Beta

from research.errors import UserError
from research.objectives.classification import Classification
from research.step import Step, View


def mix(embeddings: Tensor, order: Tensor, share: Tensor) -> Tensor:
    """``share h_i + (1 - share) h_order(i)`` of embeddings h (N, H); order (N,) is a permutation, share in [0, 1]."""
    return share * embeddings + (1 - share) * embeddings[order]


class Mixup(Classification):
    """The labels of two texts, in the shares in which their pooled embeddings are mixed.

    ``share CE(f(h~_i), y_i) + (1 - share) CE(f(h~_i), y_order(i))`` with h~ by :func:`mix`; each step draws an order
    of the batch and one share from Beta(alpha, alpha). Held-out data are not mixed.

    Args:
        stream: a task with problem ``classify`` or ``multilabel``; mixed examples come from one batch.
        alpha: above 0; small values keep close to one of the two texts.
        class_weights: as for :class:`Classification`, like the settings not named here.
    """

    def __init__(
        self,
        stream: str,
        alpha: float = 0.4,
        class_weights: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        view: View | None = None,
    ) -> None:
        super().__init__(stream, class_weights, label_smoothing, view)
        if alpha <= 0:
            raise UserError(f"alpha is {alpha}; it must be above 0")
        self.alpha = alpha

    def forward(self, step: Step) -> Tensor:
        embeddings = step.student.embedding(step.encoded(self.stream, self.view))
        labels = step.labels(self.stream)
        order = torch.randperm(len(labels), device=labels.device)
        alpha = embeddings.new_tensor(self.alpha, dtype=torch.float32)
        share = Beta(alpha, alpha).sample()
        logits = step.student.heads[self.stream](mix(embeddings, order, share))
        return share * self.loss(logits, labels) + (1 - share) * self.loss(logits, labels[order])
