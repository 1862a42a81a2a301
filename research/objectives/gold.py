"""Distillation across tokenizers, exact where they agree (GOLD: Patiño et al. 2025, on Hugging Face, in TRL)."""

import torch
from torch import Tensor

from research.models.teachers.aligned import AlignedAnswer
from research.objectives.uld import ULD, sorted_distance
from research.step import Step


def gold_loss(student: Tensor, teacher: Tensor, shared: Tensor) -> Tensor:
    """``w sum_i (p_t log(p_t / p_s) - p_t + p_s)(i) + (1 - w) sum_j |p_s(j) - p_t(j)|`` for each row.

    i runs over the shared tokens; j over all others, in the order of their probabilities; w is the shared part of the
    teacher's vocabulary. Shared tokens need not sum to 1, so ``p_s - p_t``, which TRL lacks, makes equality best.

    Args:
        student: log-probabilities (m, V).
        teacher: log-probabilities (m, V').
        shared: ids (2, C) of the student's tokens and of the teacher's that are the same.

    Returns:
        (m,)
    """
    mine, theirs = shared
    p, q = teacher[:, theirs], student[:, mine]
    matched = (p.exp() * (p - q) - p.exp() + q.exp()).sum(-1)
    rest = (without(probabilities.exp(), ids) for probabilities, ids in ((student, mine), (teacher, theirs)))
    weight = len(theirs) / teacher.shape[-1]
    return weight * matched + (1 - weight) * sorted_distance(*rest)


def without(columns: Tensor, ids: Tensor) -> Tensor:
    """All columns (m, V) but those of ids (C,): (m, V - C)."""
    keep = torch.ones(columns.shape[-1], dtype=torch.bool, device=columns.device).index_fill(0, ids, False)
    return columns[:, keep]


class GOLD(ULD):
    """Match the teacher's probabilities of the tokens that both have, and sorted ones of the others.

    A span of text that the tokenizers cut otherwise is compared whole: the distribution of its first token, times the
    probability of its further ones.

    Args:
        stream: any text for a decoder.
        view: what predicts next tokens, shared with the objective of equal settings.
        temperature: above 0.
    """

    def forward(self, step: Step) -> Tensor:
        head, labels = step.vocabulary(self.stream, self.view)
        theirs = step.taught(self.stream, self.view)
        assert isinstance(theirs, AlignedAnswer)
        return theirs.compare_merged(head, labels, lambda s, t: gold_loss(s, t, theirs.shared), self.temperature)
