"""Gaps between groups against counts by hand."""

import numpy as np
import pytest

from research.evaluation.bias.gaps import group_gaps

pytest.importorskip("fairlearn", reason="the extra fairness is not installed")


def probabilities(answers: list[int], classes: int, sure: float = 0.8) -> np.ndarray:
    rows = np.full((len(answers), classes), (1 - sure) / (classes - 1))
    rows[np.arange(len(answers)), answers] = sure
    return rows


def test_two_classes() -> None:
    right = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    first = [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]  # of the ones 3 of 6 are found, and no zero is missed
    second = [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]  # of the ones 5 of 6, and one zero of 4 is taken for a one
    found = group_gaps((probabilities(first, 2), probabilities(second, 2)), right)
    assert found["demographic_parity"] == pytest.approx(0.6 - 0.3)
    assert found["equalised_odds"] == pytest.approx(5 / 6 - 3 / 6)
    assert found["flips"] == pytest.approx(0.3) and found["shift"] == pytest.approx(0.3 * 0.6)
    assert found["accuracy"] == pytest.approx((7 + 8) / 20)


def test_the_widest_of_three_classes_and_no_gap() -> None:
    right = np.array([0, 1, 2, 0])
    first, second = probabilities([0, 1, 2, 0], 3), probabilities([0, 1, 1, 0], 3)
    found = group_gaps((first, second), right)
    assert found["demographic_parity"] == pytest.approx(1 / 4) and found["equalised_odds"] == pytest.approx(1.0)
    assert set(group_gaps((first, first), right).values()) == {0.0, 1.0}
    few = group_gaps((first[:1], second[:1]), right[:1])
    assert few["equalised_odds"] == 0, "of one class alone there are no odds"
