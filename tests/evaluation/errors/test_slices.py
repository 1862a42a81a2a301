"""Slices part the examples; their figures are those of the formulas."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from research.evaluation.errors.answers import Measured
from research.evaluation.errors.data import Texts, surprisal
from research.evaluation.errors.slices import NEGATION, interval, quantiles, slices, slices_section


@pytest.mark.parametrize(("right", "n"), [(8, 10), (0, 5), (500, 500), (1, 3)])
def test_wilson(right: int, n: int) -> None:
    """The closed form: (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n)."""
    z, p = 1.959963984540054, right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    assert interval(right, n) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("text", ["I do not", "does n't", "It isn’t", "No.", "NEVER again", "without it", "cannot"])
def test_negations(text: str) -> None:
    assert NEGATION.search(text)


@pytest.mark.parametrize("text", ["a note", "nothingness", "knot", "another", "snow", "the cannon", "ant"])
def test_what_is_no_negation(text: str) -> None:
    assert not NEGATION.search(text)


def test_quantiles_part_the_values_and_keep_equal_ones_together() -> None:
    values = np.random.default_rng(0).integers(3, 20, 1000)
    parts = quantiles(values)
    assert np.array_equal(sum(mask.astype(int) for *_, mask in parts), np.ones(1000))  # type: ignore[arg-type]
    for low, high, mask in parts:
        assert (low, high) == (values[mask].min(), values[mask].max()) and 150 < mask.sum() < 350
    assert all(one[1] < other[0] for one, other in pairwise(parts))
    assert len(quantiles(np.array([4, 4, 4, 4, 9]))) == 2


def test_surprisal() -> None:
    """By hand: 6 of 8 training words are x and 2 are y, so that x has log2(8/6) bits; z, unseen, has 3."""
    known = Counter({b"x": 6, b"y": 2})
    assert surprisal([b"x"], known) == pytest.approx(math.log2(8 / 6))
    assert surprisal([b"y", b"z"], known) == pytest.approx((2 + 3) / 2)
    assert surprisal([], known) == 0


def test_slices(answers: Callable[..., Any]) -> None:
    text = ["no", "a b", "a b c", "not a", "x", "y"]
    places = [str(i) for i in range(6)]
    texts = Texts(
        dict(zip(places, text, strict=True)),
        {w: len(t.split()) for w, t in zip(places, text, strict=True)},
        dict.fromkeys(places, 1.0),
    )
    masks = slices(places, texts)
    assert masks["an English negation"].tolist() == [True, False, False, True, False, False]
    assert masks["1 to 1 tokens"].tolist() == [True, False, False, False, True, True]
    assert not any("bits" in name for name in masks), "all words are equally rare"
    section = slices_section(answers("aabbab", "aaabab"), masks)
    assert section.table is not None
    rows = {row[0]: row[1:] for row in section.table.rows}
    assert rows["all"][:2] == ["6", "0.833"] and rows["an English negation"][:2] == ["2", "1.000"]
    assert rows["no English negation"][:2] == ["4", "0.750"]


def test_slices_of_numbers() -> None:
    """By hand: errors of 1, 1, 4 have the mean 2 and s = √3, and t(0.975, 2) is 4.3027."""
    numbers = Measured(["0", "1", "2"], np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 7.0]))
    section = slices_section(numbers, {"first": np.array([True, False, False])})
    assert section.table is not None and section.table.head[2] == "absolute error"
    assert section.table.rows == [["all", "3", "2", "-2.303 to 6.303"], ["first", "1", "1", "-"]]
