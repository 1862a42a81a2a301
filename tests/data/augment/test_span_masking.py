"""Masked spans: how many tokens, where, and in how many pieces."""

from itertools import groupby
from typing import Any

import numpy as np
import pytest

from research.data.augment import SpanMasked
from research.data.augment.span_masking import spans
from research.data.batch import Example
from research.errors import UserError
from research.step import Clean


def pieces(hidden: np.ndarray) -> int:
    """The spans on a circle."""
    return int((hidden & ~np.roll(hidden, 1)).sum())


def test_number_and_length_of_spans() -> None:
    """Of 100 places 30 are hidden, in 10 spans of any lengths, wherever they begin."""
    rng, lengths, where = np.random.default_rng(0), [], np.zeros(100)
    for _ in range(500):
        hidden = spans(100, 0.3, 3.0, rng)
        assert hidden.sum() == 30 and pieces(hidden) == 10
        turned = np.roll(hidden, -int(np.flatnonzero(~hidden)[0]))
        lengths += [len(list(run)) for value, run in groupby(turned.tolist()) if value]
        where += hidden
    assert set(range(1, 8)) <= set(lengths) and np.mean(lengths) == 3.0
    assert abs(where - 150).max() < 5 * np.sqrt(500 * 0.3 * 0.7), "each place as often as the others"


def test_small_texts() -> None:
    rng = np.random.default_rng(0)
    assert spans(0, 0.5, 3.0, rng).tolist() == [] and spans(1, 0.9, 3.0, rng).tolist() == [False]
    seen = {tuple(spans(2, 0.5, 3.0, rng).tolist()) for _ in range(50)}
    assert seen == {(True, False), (False, True)}
    counts = [spans(4, 0.15, 3.0, rng).sum() for _ in range(4000)]  # 0.6 in the mean: none or one
    assert set(counts) == {0, 1} and abs(np.mean(counts) - 0.6) < 4 * np.sqrt(0.6 * 0.4 / 4000)
    assert all(spans(5, 0.99, 1.0, rng).sum() == 4 for _ in range(20)), "one token stays"


def test_questions(questions: list[np.ndarray], encoder: Any, vocabulary: Any) -> None:
    """The density in the mean, whole sequences of the same length, and special tokens as they were."""
    view, rng, hidden, n = SpanMasked(0.2, 2.0), np.random.default_rng(0), 0, 0
    for ids in questions:
        plain = Clean().build(Example(ids), encoder, vocabulary, rng).ids
        row = view.build(Example(ids), encoder, vocabulary, rng)
        changed = row.ids != plain
        assert row.labels is None and len(row.ids) == len(plain)
        assert (row.ids[changed] == vocabulary.mask).all() and not vocabulary.special[plain[changed]].any()
        hidden, n = hidden + changed.sum(), n + (~vocabulary.special[plain]).sum()
    assert abs(hidden - 0.2 * n) < 4 * np.sqrt(len(questions) / 4), "each text adds a rounding of variance 1/4 at most"


def test_pairs_and_seeds(encoder: Any, vocabulary: Any) -> None:
    example = Example(np.arange(2000, 2010), np.arange(3000, 3010))

    def build(seed: int) -> Any:
        return SpanMasked(0.5).build(example, encoder, vocabulary, np.random.default_rng(seed))

    row = build(0)
    assert row.second == 12 and row.ids[[0, 11, 22]].tolist() == [vocabulary.begin, vocabulary.end, vocabulary.end]
    assert row.ids.tolist() == build(0).ids.tolist() != build(1).ids.tolist()
    assert example.first.tolist() == list(range(2000, 2010)), "the example stays as it is"


@pytest.mark.parametrize("given, message", [
    ((0.0, 3.0), r"span density is 0.0; it must lie in \(0, 1\)"),
    ((0.5, 0.5), "mean span length is 0.5; it must be at least 1"),
])  # fmt: skip
def test_impossible_settings(given: tuple[float, float], message: str, tiny: Any) -> None:
    with pytest.raises(UserError, match=message):
        SpanMasked(*given)
    with pytest.raises(UserError, match="key: the view SpanMasked needs a tokenizer with a mask token"):
        SpanMasked().check("key", tiny("gpt2"), "classify")
