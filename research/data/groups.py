"""Words of two groups in pairs, and texts that differ in nothing but such words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from research.errors import UserError

Pairs = tuple[tuple[str, str], ...]
"""A word of the first group, and the one of the second that stands for it."""

GENDER: Pairs = (
    ("she", "he"), ("her", "his"), ("her", "him"), ("hers", "his"), ("herself", "himself"), ("woman", "man"),
    ("women", "men"), ("girl", "boy"), ("girls", "boys"), ("lady", "gentleman"), ("ladies", "gentlemen"),
    ("female", "male"), ("females", "males"), ("gal", "guy"), ("gals", "guys"), ("mother", "father"),
    ("mothers", "fathers"), ("mom", "dad"), ("moms", "dads"), ("mum", "dad"), ("mommy", "daddy"), ("mama", "papa"),
    ("daughter", "son"), ("daughters", "sons"), ("sister", "brother"), ("sisters", "brothers"), ("wife", "husband"),
    ("wives", "husbands"), ("bride", "groom"), ("widow", "widower"), ("widows", "widowers"),
    ("girlfriend", "boyfriend"), ("girlfriends", "boyfriends"), ("aunt", "uncle"), ("aunts", "uncles"),
    ("niece", "nephew"), ("nieces", "nephews"), ("grandmother", "grandfather"), ("grandma", "grandpa"),
    ("granddaughter", "grandson"), ("stepmother", "stepfather"), ("queen", "king"), ("queens", "kings"),
    ("princess", "prince"), ("princesses", "princes"), ("duchess", "duke"), ("actress", "actor"),
    ("actresses", "actors"), ("waitress", "waiter"), ("waitresses", "waiters"), ("hostess", "host"),
    ("heroine", "hero"), ("heroines", "heroes"), ("heiress", "heir"), ("witch", "wizard"),
    ("businesswoman", "businessman"), ("spokeswoman", "spokesman"), ("saleswoman", "salesman"),
    ("policewoman", "policeman"), ("chairwoman", "chairman"), ("congresswoman", "congressman"),
    ("schoolgirl", "schoolboy"), ("ms", "mr"), ("mrs", "mr"), ("madam", "sir"), ("feminine", "masculine"),
    ("maternal", "paternal"), ("motherhood", "fatherhood"), ("sisterhood", "brotherhood"), ("nun", "monk"),
)  # fmt: skip
"""English words of women and men, after the lists of Bolukbasi et al. (2016, arXiv:1607.06520) and Zhao et al. (2018,
arXiv:1804.06876). A word of several partners takes the first: "her" becomes "his", also where "him" were right."""


@dataclass(frozen=True)
class GroupWords:
    """Finds and exchanges the words of two groups, whole words in any case.

    Args:
        pairs: in lower case. A word that stands in several takes the partner of the first.

    Raises:
        UserError: if there are none, or a word is of both groups.
    """

    pairs: Pairs = GENDER

    def __post_init__(self) -> None:
        first, second = ({pair[side].lower() for pair in self.pairs} for side in (0, 1))
        if not self.pairs:
            raise UserError("pairs: give at least one pair of words")
        if both := sorted(first & second):
            raise UserError(f"pairs: {', '.join(both)} stand in both groups")

    @cached_property
    def partners(self) -> dict[str, tuple[int, str]]:
        """For each word its group, 0 or 1, and its partner."""
        found: dict[str, tuple[int, str]] = {}
        for pair in self.pairs:
            for side in (0, 1):
                found.setdefault(pair[side].lower(), (side, pair[1 - side].lower()))
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = sorted(self.partners, key=len, reverse=True)
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)

    def names_any(self, text: str) -> bool:
        """Whether any word of either group stands in a text."""
        return self._pattern.search(text) is not None

    def swapped(self, text: str) -> str:
        """The text with each word of a group in the place of its partner, in its case."""
        return self._exchanged(text, (0, 1))

    def towards(self, text: str, side: int) -> str:
        """The text in the words of one group, 0 or 1: those of the other give place to their partners."""
        return self._exchanged(text, (1 - side,))

    def twins(self, texts: Iterable[str]) -> tuple[list[str], list[str]]:
        """The texts that name a group, in the words of the first, and of the second."""
        named = [text for text in texts if self.names_any(text)]
        return [self.towards(text, 0) for text in named], [self.towards(text, 1) for text in named]

    def variants(self) -> list[tuple[str, str]]:
        """Each word beside its partner: in lower case, with a capital, and in capitals."""
        cases: Sequence[tuple[str, str]] = [(word, partner) for word, (_, partner) in self.partners.items()]
        return list(chain(cases, ((a.capitalize(), b.capitalize()) for a, b in cases),
                          ((a.upper(), b.upper()) for a, b in cases)))  # fmt: skip

    def _exchanged(self, text: str, sides: tuple[int, ...]) -> str:
        def partner(found: re.Match[str]) -> str:
            side, other = self.partners[found[0].lower()]
            return cased(other, found[0]) if side in sides else found[0]

        return self._pattern.sub(partner, text)


def cased(word: str, like: str) -> str:
    """A word in the case of another: capitals, a capital, or neither."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
