"""Words replaced by what the student's own masked language model puts in their place (Kobayashi 2018,
arXiv:1805.06201; Wu et al. 2019, arXiv:1812.06705, without their condition on the label)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.augment.augmentation import Augmentation, check_rate, chosen
from research.data.batch import IGNORE, Example, Row, Tokens
from research.errors import UserError

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


@dataclass(frozen=True)
class Contextual(Augmentation):
    """The worker hides each ordinary token with probability ``rate`` in (0, 1), one at least stays; the step fills in.

    Each hidden place is drawn from the ``top_k`` likeliest ordinary tokens, in proportion to their probabilities. It
    costs a further forward without a gradient, as the student is at that step and without dropout. A student whose
    head has not learned masked language modelling fills in noise: train it with ``MaskedLM``, before or at once.
    """

    rate: float = 0.15
    top_k: int = 10

    def __post_init__(self) -> None:
        check_rate("replacement rate", self.rate)
        if self.top_k < 1:
            raise UserError(f"top_k is {self.top_k}; it must be at least 1")

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.family.name == "encoder", "an encoder")
        self.require(key, student.vocabulary.mask >= 0, "a tokenizer with a mask token")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.frame(example, vocabulary)
        hidden = chosen(~vocabulary.special[row.ids], self.rate, rng)
        row.labels = np.where(hidden, row.ids, IGNORE)
        row.ids = np.where(hidden, vocabulary.mask, row.ids)
        return row

    def finish(self, tokens: Tokens, student: "Student") -> Tokens:
        if tokens.labels is None:  # held-out data
            return tokens
        hidden = tokens.labels != IGNORE
        ids = tokens.ids.clone()
        if hidden.any():
            ids[hidden] = self._drawn(tokens, student)
        return replace(tokens, ids=ids, labels=None)

    @torch.no_grad()
    def _drawn(self, tokens: Tokens, student: "Student") -> Tensor:
        """A token (M,) for each hidden place; torch's random numbers are seeded by the step."""
        training = student.training
        student.eval()
        head = student.vocabulary_head(student(tokens).at_labels()[0])
        student.train(training)
        logits = F.linear(head.features, head.weight, head.bias).float()
        special = torch.from_numpy(student.vocabulary.special).to(logits.device)
        logits[:, len(special) :] = -torch.inf  # rows of the embedding that no token has
        logits[:, : len(special)].masked_fill_(special, -torch.inf)
        likeliest, which = logits.topk(self.top_k)
        return which.gather(1, likeliest.softmax(-1).multinomial(1)).squeeze(1)
