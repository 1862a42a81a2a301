"""Variety and copies, counted by hand."""

import pytest

from research.evaluation.variety import copies, variety


def test_different_words_pairs_and_texts() -> None:
    figures = variety(["a b a", "A b a", "c"])
    assert figures == pytest.approx(
        {"distinct_1": 300 / 7, "distinct_2": 50.0, "vocabulary": 3.0, "different": 100 / 3}
    )
    assert variety([""])["distinct_1"] == 0.0


def test_longest_runs_of_training_words() -> None:
    training = ["the mill is near the river", "a pub is cheap"]
    figures = copies(["The mill is near", "river a pub", "is cheap is near the river", "mil", "heap"], training)
    assert figures == pytest.approx({"copied": 20.0, "copied_span": (4 + 2 + 4) / 5, "longest_copied_span": 4.0})
