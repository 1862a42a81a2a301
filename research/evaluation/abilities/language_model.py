"""Predicting the tokens of held-out text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from research.data.masking import Masked, NextToken, SpanCorrupted
from research.errors import UserError
from research.evaluation.abilities.ability import Ability
from research.models.embedding import in_batches

if TYPE_CHECKING:
    from research.models.student import Student
    from research.step import View

VIEWS: "dict[str, View]" = {"encoder": Masked(), "decoder": NextToken(), "encoder-decoder": SpanCorrupted()}


@torch.no_grad()
def language_model_loss(student: "Student", texts: Sequence[str], max_length: int | None = None) -> float:
    """Mean of ``-log p(token)`` in nats over all tokens that the family's own pre-training would have predicted.

    These are masked ones of an encoder, all of a decoder, and spans of an encoder-decoder; the same ones each time.
    """
    total, count = 0.0, 0
    for _, encoded in in_batches(student, texts, VIEWS[student.family.name], max_length=max_length):
        hidden, labels = encoded.at_labels()
        total += float(student.vocabulary_head(hidden).cross_entropy(labels, "sum"))
        count += len(labels)
    return total / count


class LanguageModel(Ability):
    """:func:`language_model_loss`: it rises where a language model forgets.

    For students whose backbone was published with its language-model head. Others, such as sentence encoders, start
    with a random one, whose loss says nothing about what the backbone knew, and are refused when they are built.
    """

    def check(self, name: str, student: "Student") -> None:
        super().check(name, student)
        VIEWS[student.family.name].check(f"abilities.{name}", student, "unlabelled")

    def measure(self, student: "Student") -> float:
        if student.untrained:
            raise UserError(
                f"LanguageModel: {student.backbone} brings no weights for {', '.join(student.untrained)}, so its "
                "language-model loss says nothing; measure Similarity, LinearProbe or Halves instead"
            )
        return language_model_loss(student, [record["text"] for record in self.sample], self.max_length)
