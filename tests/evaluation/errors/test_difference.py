"""What one run gets right and another wrong."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest

from research.evaluation.errors.difference import difference_sections, mcnemar


@pytest.mark.parametrize(("only", "other"), [(10, 2), (3, 3), (0, 6), (25, 12), (1, 0)])
def test_mcnemar(only: int, other: int) -> None:
    """Twice the tail of a fair coin, over the examples on which the runs differ, whatever they agree on."""
    first = np.array([True] * only + [False] * other + [True] * 7 + [False] * 4)
    second = np.array([False] * only + [True] * other + [True] * 7 + [False] * 4)
    n = only + other
    tail = sum(comb(n, k) for k in range(min(only, other) + 1)) / 2**n
    assert mcnemar(first, second) == pytest.approx(min(2 * tail, 1.0))
    assert mcnemar(second, first) == pytest.approx(mcnemar(first, second))


def test_no_difference() -> None:
    assert mcnemar(np.array([True, False]), np.array([True, False])) == 1.0


def test_sections(answers: Callable[..., Any]) -> None:
    """Of 8 examples A alone gets 0 and 1 right and B alone 7; on 6 both are wrong in different ways."""
    first = answers("aaaabbbb", "aaaabbca", [0.9] * 8)
    second = answers("aaaabbbb", "bcaabbab", [0.6, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    masks = {"first half": np.arange(8) < 4}
    text = {str(i): f"text {i}" for i in range(8)}
    table, a_right, b_right = difference_sections(first, second, masks, text, most=5)
    assert table.table is not None
    assert table.table.rows == [
        ["all", "8", "2", "1", "-12.5", "50.0%", "1.000"],
        ["first half", "4", "2", "0", "-50.0", "50.0%", "0.500"],
    ]
    assert [shown.text for shown in a_right.examples] == ["text 1", "text 0"], "the surest error first"
    assert a_right.examples[0].caption == "a: A a (0.90), B c (0.80)  1"
    assert [shown.text for shown in b_right.examples] == ["text 7"] and b_right.note == "1 examples"
