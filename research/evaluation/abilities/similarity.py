"""Telling similar sentences from others."""

from typing import TYPE_CHECKING

from research.evaluation.abilities.ability import Ability
from research.evaluation.similarity import similarity_correlation

if TYPE_CHECKING:
    from research.models.student import Student


class Similarity(Ability):
    """:func:`research.evaluation.similarity.similarity_correlation`, in [-1, 1]: pairs with a number, such as STS-B.

    For any student whose embeddings were good before; those of a plain language model hardly are.
    """

    def measure(self, student: "Student") -> float:
        return similarity_correlation(student, self.sample)
