"""Spans behind the mask token, in the manner of SpanBERT (Joshi et al. 2020, arXiv:1907.10529), without labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from research.data.augment.augmentation import Augmentation, check_rate
from research.data.batch import Example, Row
from research.data.masking import cut
from research.errors import UserError

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


def spans(n: int, density: float, mean_length: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: spans that hold ``n * density`` places in the mean, and n - 1 at most.

    There are ``round(hidden / mean_length)`` spans, one at least; lengths and gaps are random, and the whole is
    turned round by a random offset, so that each place is hidden equally often.
    """
    hidden = min(int(n * density + rng.random()), n - 1)
    if hidden < 1:
        return np.zeros(n, dtype=bool)
    count = min(max(round(hidden / mean_length), 1), n - hidden)
    lengths = np.stack([cut(n - hidden, count, rng), cut(hidden, count, rng)], axis=1)
    return np.roll(np.repeat(np.tile([False, True], count), lengths.ravel()), rng.integers(n))


@dataclass(frozen=True)
class SpanMasked(Augmentation):
    """A text whose :func:`spans` are mask tokens, one for each token hidden.

    ``density`` in (0, 1) is the mean share of hidden tokens; ``mean_length``, at least 1, is in tokens.
    """

    density: float = 0.15
    mean_length: float = 3.0

    def __post_init__(self) -> None:
        check_rate("span density", self.density)
        if self.mean_length < 1:
            raise UserError(f"mean span length is {self.mean_length}; it must be at least 1")

    def check(self, key: str, student: "Student", problem: str) -> None:
        self.require(key, student.vocabulary.mask >= 0, "a tokenizer with a mask token")

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        row = family.frame(example, vocabulary)
        ordinary = np.flatnonzero(~vocabulary.special[row.ids])
        row.ids[ordinary[spans(len(ordinary), self.density, self.mean_length, rng)]] = vocabulary.mask
        return row
