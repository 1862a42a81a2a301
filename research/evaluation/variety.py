"""How varied written texts are, and how much of them is copied."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise


def variety(texts: Sequence[str]) -> dict[str, float]:
    """How N texts differ from each other.

    ``distinct_1`` and ``distinct_2`` (Li et al. 2016, arXiv:1510.03055) are different words and pairs of neighbours in
    percent of all; they fall as texts get more, so compare equal numbers of texts. ``vocabulary`` counts different
    words, ``different`` is the share in percent of texts that no other equals.
    """
    words = [_words(text) for text in texts]
    pairs = [[*pairwise(few)] for few in words]
    seen = Counter(tuple(few) for few in words)
    return {
        "distinct_1": _distinct(words),
        "distinct_2": _distinct(pairs),
        "vocabulary": float(len({*chain.from_iterable(words)})),
        "different": 100 * sum(count == 1 for count in seen.values()) / len(texts),
    }


def copies(texts: Sequence[str], training: Iterable[str]) -> dict[str, float]:
    """What N texts repeat of the training texts, word by word without regard to case.

    ``copied`` is the share in percent that stands whole in a training text; ``copied_span`` the mean, and
    ``longest_copied_span`` the most, words of the longest run of a text that does.
    """
    known = "\n".join(f" {' '.join(_words(text))} " for text in training)
    spans = [longest_span(_words(text), known) for text in texts]
    whole = sum(span == len(_words(text)) for span, text in zip(spans, texts, strict=True))
    return {
        "copied": 100 * whole / len(texts),
        "copied_span": sum(spans) / len(texts),
        "longest_copied_span": float(max(spans)),
    }


def longest_span(words: Sequence[str], known: str) -> int:
    """Words of the longest run that stands in ``known``, whose words have single spaces on both sides."""
    longest = 0
    for start in range(len(words)):  # only runs longer than the best so far are looked for
        while start + longest < len(words) and f" {' '.join(words[start : start + longest + 1])} " in known:
            longest += 1
    return longest


def _distinct(parts: Sequence[Sequence[object]]) -> float:
    every = [*chain.from_iterable(parts)]
    return 100 * len({*every}) / len(every) if every else 0.0


def _words(text: str) -> list[str]:
    return text.lower().split()
