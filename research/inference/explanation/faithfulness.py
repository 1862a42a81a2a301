"""Whether the words that an explanation names are those that the answer hangs on."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from research.errors import UserError
from research.inference.model import Model

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of a text's words, as in the paper


class Faithfulness(NamedTuple):
    """Means over :data:`SHARES` of what the probability of the answered label loses, each in [-1, 1].

    ``comprehensiveness``: where the share of the words that matter most is taken out; the higher, the better.
    ``sufficiency``: where nothing but these is left; the lower, the better (DeYoung et al. 2020, arXiv:1911.03429).
    """

    comprehensiveness: float
    sufficiency: float


def faithfulness(
    model: Model, text: str, spans: Sequence[tuple[int, int]], weights: np.ndarray, task: str | None = None
) -> Faithfulness:
    """Take words out of a text, and take out all others, the heaviest first.

    Of n words a share k is ``ceil(k n)`` of them. Equal weights stand in the order of the text.

    Args:
        model: what answers.
        text: of one word at least.
        spans: the first and the last character, not included, of each of its n words.
        weights: (n,).
        task: of problem ``classify``; may be left out where there is one.

    Raises:
        UserError: for a text without words.
    """
    if not spans:
        raise UserError("faithfulness: the text has no words")
    stream = model.task(task, "classify")
    order = np.argsort(-np.asarray(weights), kind="stable")
    chosen = [set(order[: math.ceil(share * len(spans))].tolist()) for share in SHARES]
    everything = set(range(len(spans)))
    asked = [text]
    asked += [kept(text, spans, everything - few) for few in chosen]
    asked += [kept(text, spans, few) for few in chosen]
    logits = model.logits(asked, stream).astype(np.float64)
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))[:, logits[0].argmax()]
    without, alone = np.split(p[0] - p[1:], 2)
    return Faithfulness(float(without.mean()), float(alone.mean()))


def kept(text: str, spans: Sequence[tuple[int, int]], places: set[int]) -> str:
    """The text without its words but those of some places."""
    return "".join(_kept(text, spans, places))


def _kept(text: str, spans: Sequence[tuple[int, int]], places: set[int]) -> Iterator[str]:
    end = 0
    for i, (start, stop) in enumerate(spans):
        yield text[end:start]
        if i in places:
            yield text[start:stop]
        end = stop
    yield text[end:]
