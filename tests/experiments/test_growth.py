"""The exponents of the growth table, by hand."""

import importlib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "speed"


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("growth")


def test_exponents_of_powers(growth: Any) -> None:
    """A cost of 3 n^2 in one repeat and of 5 n in another; the upper half of n^2 + 100 grows faster than the whole."""
    costs = {n: {"seconds": [3.0 * n**2, 5.0 * n], "bytes": [n**2 + 100.0]} for n in (1, 2, 4, 8, 16)}
    assert growth.exponents(costs, "seconds", upper=False) == pytest.approx([2.0, 1.0])
    (whole,), (upper,) = (growth.exponents(costs, "bytes", upper) for upper in (False, True))
    assert whole < upper < 2


def test_a_row_says_whether_it_grows_too_fast(growth: Any) -> None:
    costs = {n: {"flops": [float(n**2)]} for n in (1, 2, 4, 8)}
    (fast,) = growth.rows("width", {"flops": 1.0}, costs, "")
    (slow,) = growth.rows("width", {"flops": 2.0}, costs, "weights are quadratic")
    assert fast == "| width | 1 to 8 | matrix FLOPs | 1 to 64 | 2.00 | 2.00 | 1 | **no** |"
    assert slow == "| width | 1 to 8 | matrix FLOPs | 1 to 64 | 2.00 | 2.00 | 2 (weights are quadratic) | yes |"
