"""How far numbers are off."""

import numpy as np

from research.evaluation.errors.answers import Measured
from research.evaluation.errors.residuals import residual_sections

TEXT = {str(i): f"text {i}" for i in range(4)}


def test_sections() -> None:
    """By hand: residuals of 2, 1, -1 and -3, so that guesses shrink towards the middle."""
    answers = Measured([*TEXT], np.array([0.0, 1.0, 4.0, 5.0]), np.array([2.0, 2.0, 3.0, 2.0]))
    residuals, high, low = residual_sections(answers, TEXT, most=1)
    assert residuals.table is not None and residuals.picture is not None
    rows = {row[0]: row[1:] for row in residuals.table.rows}
    assert rows["all"] == ["4", "2.5", "2.25", "1.75", "-0.25"]
    assert rows["0 to 0"] == ["1", "0", "2", "2", "+2"] and rows["5 to 5"][-1] == "-3"
    assert f"{np.sqrt((4 + 1 + 1 + 9) / 4):.4g}" in residuals.note
    assert f"correlation {np.corrcoef(answers.gold, answers.guess)[0, 1]:.3f}" in residuals.note
    assert [(shown.caption, shown.text) for shown in high.examples] == [("0 → 2  0", "text 0")]
    assert [(shown.caption, shown.text) for shown in low.examples] == [("5 → 2  3", "text 3")]


def test_a_run_that_says_one_number_has_no_correlation() -> None:
    answers = Measured([*TEXT], np.array([0.0, 1.0, 4.0, 5.0]), np.full(4, 0.0))
    residuals, high, _ = residual_sections(answers, TEXT, most=3)
    assert "correlation -" in residuals.note and high.note == "none" and not high.examples
