"""Means of weights against numpy, and a greedy soup by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from research.averaging.soup import average, greedy
from research.errors import UserError


def states(n: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.manual_seed(0)
    return [{"w": torch.randn(3, 2, generator=generator), "n": torch.tensor(i)} for i in range(n)]


@pytest.mark.parametrize("shares", [None, [0.7, 0.2, 0.1]])
def test_mean(shares: Any) -> None:
    given = states(3)
    expected = np.average([s["w"].numpy() for s in given], axis=0, weights=shares)
    mean = average(given, shares)
    assert mean["w"].dtype == torch.float32 and mean["n"].item() == 0
    np.testing.assert_allclose(mean["w"].numpy(), expected, rtol=1e-6)


def test_both_ends() -> None:
    start, end = states(2)
    assert torch.equal(average([end, start], [1.0, 0.0])["w"], end["w"])
    assert torch.equal(average([end, start], [0.0, 1.0])["w"], start["w"])


def test_greedy_by_hand() -> None:
    """Scores -(w - 3)^2 of 10, 1, 5 are -49, -4, -4; the mean of 1 and 5 has 0, that of all three less."""
    given = [{"w": torch.tensor(w)} for w in (10.0, 1.0, 5.0)]
    asked = []

    def score(state: Any) -> float:
        asked.append(state["w"].item())
        return -((asked[-1] - 3) ** 2)

    assert greedy(given, score) == [1, 2]
    assert asked == pytest.approx([10, 1, 5, 3, 16 / 3])


def test_other_models_are_named() -> None:
    for other in ({"w": torch.zeros(2)}, {"v": torch.zeros(3)}):
        with pytest.raises(UserError, match=r"not of one model: the first and number 2 differ in w"):
            average([{"w": torch.zeros(3)}, other])
