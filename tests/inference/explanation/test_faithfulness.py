"""Comprehensiveness and sufficiency by hand, and of explanations that are right, wrong and random."""

import math
from typing import Any

import numpy as np
import pytest

from research.errors import UserError
from research.inference.explanation.faithfulness import SHARES, faithfulness, kept

TEXT = "good, but long and dull and good"
SPANS = [(0, 4), (4, 5), (6, 9), (10, 14), (15, 18), (19, 23), (24, 27), (28, 32)]


class Counts:
    """Answers by how often "good" stands in a text."""

    def task(self, name: str | None, *problems: str) -> str:
        return "s"

    def logits(self, texts: list[str], stream: str) -> np.ndarray:
        return np.array([[text.count("good") - 0.5, 0.0] for text in texts])


def p(n: int) -> float:
    return 1 / (1 + math.exp(0.5 - n))


def test_words_are_taken_out() -> None:
    assert kept(TEXT, SPANS, {0, 7}) == "good      good" and kept(TEXT, SPANS, set(range(8))) == TEXT
    assert kept(" a b ", [(1, 2), (3, 4)], set()) == "   "


def test_by_hand() -> None:
    model: Any = Counts()
    right = np.array([2.0, 0, 0, 0, 0, 0, 0, 1.0])
    taken = [min(math.ceil(share * 8), 2) for share in SHARES]
    assert taken == [1, 1, 1, 2, 2]
    found = faithfulness(model, TEXT, SPANS, right)
    assert found.comprehensiveness == pytest.approx(np.mean([p(2) - p(2 - n) for n in taken]))
    assert found.sufficiency == pytest.approx(np.mean([p(2) - p(n) for n in taken]))
    wrong = faithfulness(model, TEXT, SPANS, -right)
    assert wrong.comprehensiveness == pytest.approx(0) and wrong.sufficiency == pytest.approx(p(2) - p(0))


def test_no_words() -> None:
    model: Any = Counts()
    with pytest.raises(UserError, match="no words"):
        faithfulness(model, "", [], np.array([]))
