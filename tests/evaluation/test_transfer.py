"""Three tasks by hand."""

import numpy as np
import pytest

from research.evaluation.transfer import backward_transfer, forgetting, forward_transfer

R = np.array(
    [
        [0.9, 0.3, 0.2],
        [0.7, 0.8, 0.5],
        [0.5, 0.85, 0.6],
    ]
)


def test_backward() -> None:
    assert backward_transfer(R) == pytest.approx(((0.5 - 0.9) + (0.85 - 0.8)) / 2)


def test_forward() -> None:
    assert forward_transfer(R, np.array([0.1, 0.25, 0.3])) == pytest.approx(((0.3 - 0.25) + (0.5 - 0.3)) / 2)


def test_forgetting() -> None:
    assert forgetting(R) == pytest.approx(((0.9 - 0.5) + (0.8 - 0.85)) / 2)
    again = np.array([[0.6, 0.0, 0.0], [0.9, 0.8, 0.0], [0.5, 0.7, 0.6]])
    assert forgetting(again) == pytest.approx(((0.9 - 0.5) + (0.8 - 0.7)) / 2), "the best, wherever it was"
