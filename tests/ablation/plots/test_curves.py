"""Curves of seeds that were measured at different steps."""

import pytest

from research.ablation.reporting.plots.curves import band, points_of


def test_band_by_hand() -> None:
    line = band([[(0, 1.0), (10, 3.0), (20, 3.0)], [(5, 4.0), (15, 4.0)]])
    assert line is not None
    steps, mean, deviation = line
    assert steps.tolist() == [5, 10, 15], "where both are known"
    assert mean.tolist() == [3.0, 3.5, 3.5] and deviation[1:].tolist() == pytest.approx([0.5**0.5] * 2)
    alone = band([[(0, 1.0), (4, 2.0)]])
    assert alone is not None and alone[2].tolist() == [0, 0]
    assert band([[(0, 1.0)], [(5, 1.0)]]) is None


def test_steps_without_a_figure_are_left_out() -> None:
    run = {"curve": {"step": [1, 2, 3], "loss": [3.0, None, 2.0]}}
    assert points_of(run, "loss") == [(1, 3.0), (3, 2.0)]
    assert points_of(run, "validation/ce/accuracy") == [] and points_of({"curve": None}, "loss") == []
