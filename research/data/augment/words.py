"""A text as words: a token that opens one, and those that continue it. No spaces are looked for."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary

Words = list[np.ndarray]
"""The tokens of each word."""


def words_of(ids: np.ndarray, vocabulary: "Vocabulary") -> Words:
    """Cut ids (L,) before each token that opens a word; a special token stands alone."""
    if len(ids) == 0:
        return []
    special = vocabulary.special[ids]
    opens = ~vocabulary.continues[ids] | special
    opens[1:] |= special[:-1]
    return np.split(ids, np.flatnonzero(opens[1:]) + 1)


def movable(words: Words, vocabulary: "Vocabulary") -> np.ndarray:
    """Places (m,) of the words that are no special token."""
    return np.array([i for i, word in enumerate(words) if not vocabulary.special[word[0]]], dtype=np.int64)
