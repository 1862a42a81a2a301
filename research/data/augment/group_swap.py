"""A text about the other group: counterfactual data augmentation (Lu et al. 2018, arXiv:1807.11714)."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from research.data.augment.augmentation import Augmentation
from research.data.batch import Example, Row
from research.data.groups import GENDER, GroupWords, Pairs
from research.data.tokenised import encode
from research.errors import UserError

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


@dataclass(frozen=True)
class Partners:
    """The words of two groups as a tokenizer's ids.

    ``ids`` gives those of a word's partner by its own; ``opens`` (V,) and ``closes`` (V,) bool are false for tokens
    that begin, or end, within a word, so that no word is found in a longer one.
    """

    ids: dict[tuple[int, ...], np.ndarray]
    opens: np.ndarray
    closes: np.ndarray

    def swapped(self, ids: np.ndarray) -> np.ndarray:
        """Ids (L,) of a text with the partner of each word that is known, the longest at each place, in its stead."""
        out, i = list[np.ndarray](), 0
        longest = max(map(len, self.ids))
        while i < len(ids):
            n = next((n for n in range(min(longest, len(ids) - i), 0, -1) if self._stands(ids, i, n)), 0)
            out.append(self.ids[tuple(ids[i : i + n].tolist())] if n else ids[i : i + 1])
            i += n or 1
        return np.concatenate(out) if out else ids

    def _stands(self, ids: np.ndarray, i: int, n: int) -> bool:
        return tuple(ids[i : i + n].tolist()) in self.ids and self._parted(ids, i) and self._parted(ids, i + n)

    def _parted(self, ids: np.ndarray, i: int) -> bool:
        """Whether a word may end before the i-th token."""
        return i in (0, len(ids)) or bool(self.opens[ids[i]] or self.closes[ids[i - 1]])


@dataclass(frozen=True)
class GroupSwapped(Augmentation):
    """The text with each word of two groups in the place of its partner; one without such words is as it was.

    ``rate`` in (0, 1] is the share of texts that are changed, drawn anew in each pass: 1 shows each text's twin, 0.5
    makes both groups as frequent with every label (counterfactual data substitution, Maudslay et al. 2019,
    arXiv:1909.00871). ``pairs`` are as for :class:`research.data.groups.GroupWords`, by default words of women and men.
    A text whose twin is longer than the student takes stays as it is.
    """

    rate: float = 1.0
    pairs: Pairs | None = None
    partners: Partners | None = field(default=None, init=False, repr=False, compare=False)
    limit: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise UserError(f"rate is {self.rate}; it must lie in (0, 1]")
        GroupWords(self.pairs or GENDER)

    def connect(self, student: "Student") -> None:
        vocabulary = student.vocabulary
        tokens = [str(t) for t in student.tokenizer.convert_ids_to_tokens(list(range(vocabulary.size)))]
        ids: dict[tuple[int, ...], np.ndarray] = {}
        for space in ("", " "):  # to a byte-level BPE a word after a space is another
            words, others = zip(*GroupWords(self.pairs or GENDER).variants(), strict=True)
            mine, theirs = (encode(student.tokenizer, [space + word for word in each]) for each in (words, others))
            for word, other in zip(mine, theirs, strict=True):
                ids.setdefault(tuple(word), np.array(other))
        opens = ~vocabulary.continues | [not t.removeprefix("##")[:1].isalnum() for t in tokens]
        found = Partners(ids, opens, np.array([not t[-1:].isalnum() for t in tokens]))
        object.__setattr__(self, "partners", found)
        object.__setattr__(self, "limit", student.max_length)

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        assert self.partners is not None, "connect() comes before build()"
        row = family.frame(example, vocabulary)
        if self.rate < 1 and rng.random() >= self.rate:
            return row
        second = None if example.second is None else self.partners.swapped(example.second)
        twin = dataclasses.replace(example, first=self.partners.swapped(example.first), second=second)
        other = family.frame(twin, vocabulary)
        return row if self.limit is not None and len(other.ids) > self.limit else other
