"""What one run gets right and another wrong."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.evaluation.errors.answers import Measured
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


def test_sections_of_numbers() -> None:
    gold = np.array([1.0, 2.0, 3.0, 4.0])
    first, second = (
        Measured([*"0123"], gold, gold + np.array(errors)) for errors in ([1, -1, 2, 0], [0.5, 1, -1, 1.5])
    )
    table, a_better, b_better = difference_sections(first, second, {}, {w: f"text {w}" for w in "0123"}, most=5)
    interval = stats.ttest_rel([0.5, 1, 1, 1.5], [1, 1, 2, 0]).confidence_interval()
    assert table.table is not None
    assert table.table.rows == [["all", "4", "1", "1", "+0", f"{interval.low:+.4g} to {interval.high:+.4g}"]]
    assert [shown.caption for shown in a_better.examples] == ["A 0, B 1.5  3"], "less error is better"
    assert [shown.caption for shown in b_better.examples] == ["A 2, B 1  2", "A 1, B 0.5  0"]
    assert b_better.examples[0].text == "gold: 3\nA: 5\nB: 2\ntext 2"
