"""Token cutoff (Shen et al. 2020, arXiv:2009.13818)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from research.data.augment.augmentation import Augmentation, check_rate, chosen
from research.data.batch import Example, Row

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family


@dataclass(frozen=True)
class TokenCutoff(Augmentation):
    """Tokens that nothing attends to and pooling leaves out; the others keep their positions.

    Each ordinary token is cut with probability ``rate`` in (0, 1); one at least stays.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        check_rate("cutoff rate", self.rate)

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.frame(example, vocabulary)
        row.cut = chosen(~vocabulary.special[row.ids], self.rate, rng)
        return row
