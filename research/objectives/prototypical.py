"""Prototypical networks (Snell et al. 2017, arXiv:1703.05175)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import CatMetric
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from research.errors import UserError
from research.objectives.base import Objective
from research.ranks import of_all_ranks
from research.step import Clean, Step

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def prototypical(embeddings: Tensor, labels: Tensor, shots: int) -> tuple[Tensor, Tensor, Tensor]:
    """``log softmax_c(-|h - c|^2)`` of the queries h, with the mean c of the support of each class.

    Args:
        embeddings: (N, H).
        labels: (N,) classes; of each the first ``shots`` are its support, the others queries.
        shots: at least 1.

    Returns:
        Log-probabilities (Q, C') over the classes that are there, their numbers (C',), and the queries' labels (Q,).
    """
    order = labels.argsort(stable=True)
    place_in_class = torch.empty_like(order)
    place_in_class[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(
        labels[order], labels[order]
    )
    support = place_in_class < shots
    classes, place = labels.unique(return_inverse=True)
    members = F.one_hot(place[support], len(classes)).to(embeddings.dtype)
    prototypes = members.T @ embeddings[support] / members.sum(0)[:, None]
    distances = torch.cdist(embeddings[~support], prototypes)
    return F.log_softmax(-distances.square(), dim=-1), classes, labels[~support]


class Prototypical(Objective):
    """Cross entropy of an episode's queries by their squared distances to the prototypes of its support.

    Held-out data are one episode: the first ``shots`` of each class are the support for all others.

    Args:
        stream: a task with problem ``classify``, best with ``episodes``.
        shots: support examples a class, at least 1; a class that has no more in a batch gives no query.
    """

    problems = ("classify",)

    gathers = True

    def __init__(self, stream: str, shots: int) -> None:
        super().__init__(stream)
        if shots < 1:
            raise UserError(f"shots is {shots}; it must be at least 1")
        self.shots = shots
        self.embeddings, self.labels = CatMetric(sync_on_compute=False), CatMetric(sync_on_compute=False)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        self.classes = len(streams[self.stream].labels)

    def forward(self, step: Step) -> Tensor:
        embeddings, labels = of_all_ranks(self._embeddings(step)), of_all_ranks(step.labels(self.stream))
        log_p, classes, labels = prototypical(embeddings, labels, self.shots)
        if len(labels) == 0:
            return embeddings.sum() * 0.0
        return F.nll_loss(log_p, torch.searchsorted(classes, labels))

    def measure(self, step: Step) -> None:
        self.embeddings.update(of_all_ranks(self._embeddings(step).float()))
        self.labels.update(of_all_ranks(step.labels(self.stream)))

    def results(self) -> dict[str, float]:
        log_p, classes, labels = prototypical(self.embeddings.compute(), self.labels.compute().long(), self.shots)
        self.embeddings.reset()
        self.labels.reset()
        if len(labels) == 0:
            raise UserError(f"shots is {self.shots}; the held-out texts of {self.stream} have no more of any class")
        predicted = classes[log_p.argmax(1)]
        figures = {
            "loss": F.nll_loss(log_p, torch.searchsorted(classes, labels)),
            "accuracy": multiclass_accuracy(predicted, labels, self.classes, average="micro"),
            "macro_f1": multiclass_f1_score(predicted, labels, self.classes),
        }
        return {name: float(value) for name, value in figures.items()}

    def _embeddings(self, step: Step) -> Tensor:
        return step.student.embedding(step.encoded(self.stream, Clean()))
