"""Spans of a text that lie near each other (DeCLUTR, Giorgi et al. 2021, arXiv:2006.03659)."""

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from research.data.batch import Example, Row
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family


@dataclass(frozen=True)
class AnchorSpan(View):
    """A long span of a text, anywhere: of ``shortest + Beta(4, 2) (longest - shortest)`` tokens, if there are so many.

    ``draw`` tells apart spans that are drawn independently.
    """

    shortest: int = 32
    longest: int = 512
    draw: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise UserError(f"spans of {self.shortest} to {self.longest} tokens; give 1 <= shortest <= longest")

    def place(self, text: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Begin and end; the same for all that ask with a batch's ``rng``, however far it has been drawn from."""
        sequence: Any = rng.bit_generator.seed_seq
        seed = [*np.atleast_1d(sequence.entropy), zlib.crc32(text.tobytes()), self.draw]
        rng = np.random.default_rng(seed)
        length = self.length(len(text), 4, 2, rng)
        begin = int(rng.integers(len(text) - length + 1))
        return begin, begin + length

    def length(self, most: int, alpha: float, beta: float, rng: np.random.Generator) -> int:
        """Tokens of a span of a text that has ``most``."""
        shortest, longest = min(self.shortest, most), min(self.longest, most)
        return int(shortest + rng.beta(alpha, beta) * (longest - shortest))

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        begin, end = self.place(example.first, rng)
        return family.frame(Example(example.first[begin:end]), vocabulary)


@dataclass(frozen=True)
class PositiveSpan(View):
    """A short span that overlaps or adjoins the anchor, or lies in it: its length is as the anchor's, by Beta(2, 4)."""

    anchor: AnchorSpan = field(default_factory=AnchorSpan)
    draw: int = 0

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        text = example.first
        begin, end = self.anchor.place(text, rng)
        length = self.anchor.length(len(text), 2, 4, rng)
        start = int(rng.integers(max(begin - length, 0), min(end, len(text) - length) + 1))
        return family.frame(Example(text[start : start + length]), vocabulary)
