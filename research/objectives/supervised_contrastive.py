"""Supervised contrastive learning (SCL, Khosla et al. 2020, arXiv:2004.11362; of texts, Gunel et al. 2021)."""

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


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """``-1/|P(i)| sum_{p in P(i)} log exp(z_i.z_p / tau) / sum_{k != i} exp(z_i.z_k / tau)`` with ``z = h / |h|``.

    P(i) are the other rows of i's label; the mean is over the rows that have any, and 0 where none has.

    Args:
        embeddings: (N, H) h.
        labels: (N,) int64.
        temperature: tau, above 0.
    """
    unit = F.normalize(embeddings, dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    positive = (labels[:, None] == labels) & ~itself
    counts = positive.sum(1)
    log_probability = similarity.log_softmax(dim=1).masked_fill(~positive, 0.0).sum(1) / counts.clamp(min=1)
    return -log_probability[counts > 0].sum() / (counts > 0).sum().clamp(min=1)


class SupervisedContrastive(Objective):
    """Pull together the texts of one class, push apart those of others, over all ranks.

    Args:
        stream: a task with problem ``classify``; a batch should hold several texts of most classes.
        temperature: tau, above 0.
        view: what the embeddings are of; the default is the text as it is.
        other_view: a second embedding of each text, so that each has a positive, such as a second dropout pass (the
            supervised form of SimCSE); the default is none.
        projection: compare what a dense layer, ReLU and a dense layer to this width make of the embeddings, in this
            loss alone (Khosla et al. take 128); the default compares the embeddings themselves (Gunel et al.).
    """

    problems = ("classify",)

    gathers = True

    def __init__(
        self,
        stream: str,
        temperature: float = 0.1,
        view: View | None = None,
        other_view: View | None = None,
        projection: int | None = None,
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        if projection is not None and projection < 1:
            raise UserError(f"projection is {projection}; it must be at least 1")
        self.temperature, self.width = temperature, projection
        self.view, self.other_views = view or Clean(), () if other_view is None else (other_view,)
        if self.view in self.other_views:
            raise UserError("other_view equals view, and equal views are built once: set its dropout_pass or its draw")
        self.projection: nn.Module = nn.Identity()

    def views(self) -> tuple[View, ...]:
        return (self.view, *self.other_views)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        if self.width is not None:
            wide = nn.Linear(student.width, student.width)
            self.projection = nn.Sequential(wide, nn.ReLU(), nn.Linear(student.width, self.width))

    def forward(self, step: Step) -> Tensor:
        views = self.views()
        embeddings = torch.cat([step.student.embedding(step.encoded(self.stream, view)) for view in views])
        labels = step.labels(self.stream).repeat(len(views))
        return supervised_contrastive(of_all_ranks(self.projection(embeddings)), of_all_ranks(labels), self.temperature)
