"""Contrastive learning of embeddings (SimCSE, Gao et al. 2021, arXiv:2104.08821), without labels and with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.errors import UserError
from research.objectives.base import Objective
from research.ranks import of_all_ranks
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def info_nce(first: Tensor, second: Tensor, temperature: float, negatives: Tensor | None = None) -> Tensor:
    """``-log exp(sim(h_i, h_i') / tau) / sum_k exp(sim(h_i, k) / tau)``, the mean over i, with cosine similarity.

    Args:
        first: (N, H) embeddings h.
        second: (N, H) embeddings h' of the same texts; the other rows serve as negatives.
        temperature: tau, above 0.
        negatives: (M, H) hard negatives, or none; k runs over ``second`` and these.
    """
    candidates = second if negatives is None else torch.cat([second, negatives])
    similarity = F.normalize(first, dim=-1) @ F.normalize(candidates, dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(first), device=first.device))


class Contrastive(Objective):
    """Pull together two views of a text, push apart the texts of a batch, over all ranks.

    Args:
        stream: any stream; larger batches give more negatives.
        temperature: tau, above 0.
        view: what the first embedding is of; the default is the text as it is.
        other_view: what the second is of, such as an augmentation, or the other text of a pair by
            :class:`research.data.one_text.OneText`; the default is a second dropout pass.
        hard_negative: what is pushed apart besides, such as the ``target`` of a triplet.
        mlp: compare what a dense layer with tanh makes of the embeddings, in this loss alone, as SimCSE does on
            the first token.
    """

    gathers = True

    def __init__(
        self,
        stream: str,
        temperature: float = 0.05,
        view: View | None = None,
        other_view: View | None = None,
        hard_negative: View | None = None,
        mlp: bool = False,
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        self.temperature, self.mlp = temperature, mlp
        self.view, self.other_view = view or Clean(), other_view or Clean(dropout_pass=1)
        if self.view == self.other_view:
            raise UserError("other_view equals view, and equal views are built once: set its dropout_pass or its draw")
        self.hard_negatives = () if hard_negative is None else (hard_negative,)
        self.pooler: nn.Module = nn.Identity()

    def views(self) -> tuple[View, ...]:
        return (self.view, self.other_view, *self.hard_negatives)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        if self.mlp:
            self.pooler = nn.Sequential(nn.Linear(student.width, student.width), nn.Tanh())

    def forward(self, step: Step) -> Tensor:
        embeddings = (step.student.embedding(step.encoded(self.stream, view)) for view in self.views())
        first, second, *negatives = (of_all_ranks(self.pooler(embedding)) for embedding in embeddings)
        return info_nce(first, second, self.temperature, *negatives)
