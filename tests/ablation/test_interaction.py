"""Squares of objectives, and their effects by hand."""

from collections.abc import Callable

import pytest

from research.ablation.reporting.analysis import Analysis
from research.ablation.reporting.interaction import effects, squares
from research.ablation.results import Results


def test_leave_one_out_and_add_one_in_hold_a_square_of_each_and_the_others() -> None:
    names = ["a", "b", "c", "d"]
    found = squares(["all", *(f"-{n}" for n in names), "none", *(f"+{n}" for n in names)])
    assert {(s.one, s.other, s.values) for s in found} == {
        ("a", "b+c+d", ("none", "+a", "-a", "all")),
        ("b", "a+c+d", ("none", "+b", "-b", "all")),
        ("c", "a+b+d", ("none", "+c", "-c", "all")),
        ("d", "a+b+c", ("none", "+d", "-d", "all")),
    }


def test_two_objectives_and_sums_of_names_hold_one_square() -> None:
    (square,) = squares(["all", "none", "+a", "+b"])
    assert (square.one, square.other, square.values) == ("a", "b", ("none", "+a", "+b", "all"))
    (square,) = squares(["ce+kd", "ce", "ce+kd+nce", "ce+nce"])
    assert (square.one, square.other, square.beside) == ("kd", "nce", "ce")
    assert square.values == ("ce", "ce+kd", "ce+nce", "ce+kd+nce")


@pytest.mark.parametrize("values", [["all", "-a", "-b"], ["none", "+a", "+b"], ["1.0e-4", "3.0e-4"], ["joint"]])
def test_other_axes_hold_none(values: list[str]) -> None:
    assert squares(values) == []


def test_effects_by_hand(results_of: Callable[..., Results]) -> None:
    figures = {"none": [0.1, 0.2, 0.0], "+a": [0.3, 0.5, 0.9], "+b": [0.2, 0.2, None], "all": [0.7, 0.9, 0.9]}
    runs = {(arm,): [v if v is None else {"m/x": v} for v in values] for arm, values in figures.items()}
    analysis = Analysis(results_of({"objectives": list(figures)}, runs, metrics={"m/x": "max"}))
    alone, beside, both = effects(analysis, [(arm,) for arm in figures], "m/x") or pytest.fail("no seed")
    assert (alone.n, alone.mean) == (2, pytest.approx(0.25)), "0.2 and 0.3; the third seed misses +b"
    assert beside.mean == pytest.approx(0.6) and both.mean == pytest.approx(0.35)
    assert effects(analysis, [("none",), ("+a",), None, ("all",)], "m/x") is None
