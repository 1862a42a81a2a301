"""Answers of a classifier, as ``predict`` writes them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from research.evaluation.errors.answers import Classified


@pytest.fixture
def answers() -> Callable[..., Classified]:
    """``answers("aab", "abb")``: gold labels and guesses, a letter each, at places 0, 1, ..."""

    def answers(gold: str, guess: str, probability: Sequence[float] | None = None) -> Classified:
        sure = np.array(probability if probability is not None else [0.9] * len(gold))
        places = [str(i) for i in range(len(gold))]
        return Classified(places, np.array(list(gold)), np.array(list(guess)), sure, tuple(sorted({*gold, *guess})))

    return answers
