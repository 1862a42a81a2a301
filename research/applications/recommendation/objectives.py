"""Find a film, masked or the next one, among those that the batch's other rows look for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.applications.recommendation.student import FilmStudent
from research.data.batch import IGNORE, Example, Row
from research.data.masking import Masked
from research.errors import UserError
from research.objectives.token_prediction import OfLabels
from research.ranks import of_all_ranks
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.data.vocabulary import Vocabulary
    from research.models import Student
    from research.models.families import Family


@dataclass(frozen=True)
class Following(View):
    """The text with a gap at its end, where the one token of ``text_pair`` is predicted."""

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, problem == "pair", "a stream of problem pair")

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


class InBatch(OfLabels):
    """:func:`sampled_softmax` at the labelled positions of a view, a contrastive loss of histories and films.

    The states are those that the language-model head reads, so that every such objective learns the same scores. Its
    metric is the cross entropy over all films.

    Args:
        stream: what it reads; larger batches give more negatives.
    """

    families = ("encoder",)
    gathers = True

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        if not isinstance(student, FilmStudent):
            raise UserError(
                f"model.student: {type(self).__name__} needs a FilmStudent, which knows how popular films are"
            )
        self.register_buffer("share", student.share(), persistent=False)

    def forward(self, step: Step) -> Tensor:
        hidden, labels = step.encoded(self.stream, self.view).at_labels()
        student = step.student
        assert student.model is not None
        transform = student.family.lm_transform(student.model)
        assert transform is not None
        vectors = student.family.input_embedding(student.model)(labels)
        states, vectors, labels = map(of_all_ranks, (transform(hidden), vectors, labels))
        return sampled_softmax(states, vectors, labels, self.get_buffer("share")[labels])

    def measure(self, step: Step) -> None:
        head, labels = step.vocabulary(self.stream, self.view)
        self.mean.update(head.cross_entropy(labels).float(), weight=len(labels))


class NextFilm(InBatch):
    """Pull a history towards the film that came next.

    Args:
        stream: a task of problem ``pair``: the history, and the film.
    """

    problems = ("pair",)
    view = Following()


class MaskedFilm(InBatch):
    """Tell masked films of a history from both sides (BERT4Rec, Sun et al. 2019, arXiv:1904.06690).

    Args:
        stream: a corpus of histories.
        probability: share of the films to tell, in (0, 1).
    """

    problems = ("unlabelled",)

    def __init__(self, stream: str, probability: float = 0.4) -> None:
        super().__init__(stream)
        self._view = Masked(probability)

    @property
    def view(self) -> Masked:
        return self._view
