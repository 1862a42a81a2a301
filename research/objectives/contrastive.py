"""Contrastive learning of embeddings by two dropout masks (SimCSE, Gao et al. 2021, arXiv:2104.08821)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.objectives.base import Objective
from research.step import Clean, Step, View


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """``-log exp(sim(h_i, h_i') / tau) / sum_j exp(sim(h_i, h_j') / tau)``, the mean over i, with cosine similarity.

    Args:
        first: (N, H) embeddings h.
        second: (N, H) embeddings h' of the same texts; the other rows serve as negatives.
        temperature: tau, above 0.
    """
    similarity = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(first), device=first.device))


class Contrastive(Objective):
    """Pull together two views of a text, push apart the texts of a batch.

    Args:
        stream: any stream; larger batches give more negatives.
        temperature: tau, above 0.
        view: what the first embedding is of; the default is the text as it is.
        other_view: what the second is of, such as an augmentation; the default is a second dropout pass.
    """

    def __init__(
        self, stream: str, temperature: float = 0.05, view: View | None = None, other_view: View | None = None
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        self.temperature = temperature
        self.view, self.other_view = view or Clean(), other_view or Clean(dropout_pass=1)
        if self.view == self.other_view:
            raise UserError("other_view equals view, and equal views are built once: set its dropout_pass or its draw")

    def views(self) -> tuple[View, ...]:
        return (self.view, self.other_view)

    def forward(self, step: Step) -> Tensor:
        first, second = (step.student.embedding(step.encoded(self.stream, view)) for view in self.views())
        return info_nce(first, second, self.temperature)
