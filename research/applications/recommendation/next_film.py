"""The film after a history, against those of the same batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import IGNORE, Example, Row
from research.errors import UserError
from research.objectives.base import Objective, Read
from research.ranks import of_all_ranks
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models import Student
    from research.models.families import Family
    from research.models.teachers import Teacher


@dataclass(frozen=True)
class Following(View):
    """The text with a gap at its end, where the one token of ``text_pair`` is predicted."""

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, problem == "pair", "a stream of problem pair")
        self.require(key, student.vocabulary.mask >= 0, "a tokenizer with a mask token")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.cloze(example.first, np.zeros(0, np.int64), vocabulary)
        assert row.labels is not None and example.second is not None
        return Row(row.ids, labels=np.where(row.labels == IGNORE, IGNORE, example.second[0]))


def sampled_softmax(states: Tensor, vectors: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """``-log exp(s_ii) / sum_j exp(s_ij)`` with ``s_ij = h_i . v_j - log q_j``, the mean over i.

    j runs over the batch, but not over other rows of i's own label. The correction by how often label j is drawn makes
    it an estimate of the softmax over all labels, where the popular would be pushed away for being drawn often (logQ;
    Bengio & Senécal 2008; for recommendation Yi et al. 2019, doi:10.1145/3298689.3346996).

    Args:
        states: h, (N, H).
        vectors: v, (N, H), those of the labels.
        labels: (N,) int64.
        share: q, (N,), in (0, 1]: of the labels among all training examples.
    """
    logits = states @ vectors.T - share.log()
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = logits.masked_fill((labels[:, None] == labels) & ~itself, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(labels), device=labels.device))


class NextFilm(Objective):
    """Pull a history towards the film that came next and away from those that came next in the batch's other rows.

    See :func:`sampled_softmax`; the states are those at the gap after the history, as the language-model head reads
    them, so a masked film and the next one are told by the same scores.

    Args:
        stream: a task of problem ``pair``: the history, and the next film; larger batches give more negatives.
    """

    families = ("encoder",)
    problems = ("pair",)
    gathers = True

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.view = Following()
        self.share: Tensor = torch.ones(0)

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        counts = torch.ones(student.vocabulary.size)  # so that what a later batch alone has is no surprise
        for batch in read(self.stream, self.view):
            labels = batch.views[self.view].labels
            assert labels is not None
            counts += torch.bincount(labels[labels != IGNORE].cpu(), minlength=len(counts))
        self.share = counts / counts.sum()

    def forward(self, step: Step) -> Tensor:
        if not len(self.share):
            raise UserError("NextFilm: how often films come is counted when a fit begins")
        head, labels = step.vocabulary(self.stream, self.view)
        states, vectors, labels = map(of_all_ranks, (head.features, head.weight[labels], labels))
        return sampled_softmax(states, vectors, labels, self.share.to(labels.device)[labels])

    def measure(self, step: Step) -> None:
        head, labels = step.vocabulary(self.stream, self.view)
        self.mean.update(head.cross_entropy(labels).float(), weight=len(labels))
