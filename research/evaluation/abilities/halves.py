"""Finding the other half of a text among those of others."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.evaluation.abilities.ability import Ability
from research.models.embedding import embed

if TYPE_CHECKING:
    from research.models.student import Student


def matched(first: Tensor, second: Tensor) -> float:
    """The share of N pairs whose ``second`` (N, H) is, by cosine, the nearest of all to its ``first`` (N, H)."""
    cosines = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T
    return float((cosines.argmax(1) == torch.arange(len(first), device=first.device)).float().mean())


class Halves(Ability):
    """Accuracy in [0, 1] at finding a text's second half by its first, among ``count`` texts; chance is 1/``count``.

    The inverse cloze task (Lee et al. 2019, arXiv:1906.00300) as a measure of embeddings: it needs no labels, so it
    serves any language and domain. Texts of fewer than 20 words are left out.
    """

    def measure(self, student: "Student") -> float:
        words = [words for record in self.sample if len(words := record["text"].split()) >= 20]
        if len(words) < 2:
            raise UserError("Halves: the source has fewer than 2 texts of 20 words")
        halves = [w[: len(w) // 2] for w in words] + [w[len(w) // 2 :] for w in words]
        first, second = embed(student, [" ".join(half) for half in halves], max_length=self.max_length).chunk(2)
        return matched(first, second)
