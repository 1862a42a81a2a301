"""How far the numbers that a run says are off."""

from collections.abc import Mapping

import numpy as np

from research.evaluation.errors.answers import Measured
from research.evaluation.errors.pictures import draw_guesses
from research.evaluation.errors.sections import Section, Shown, Table
from research.evaluation.errors.slices import quantiles


def residual_sections(answers: Measured, text: Mapping[str, str], most: int) -> list[Section]:
    """Residuals, guess less gold, by quarters of the gold number, and the largest of either sign."""
    residual = answers.guess - answers.gold
    high, low = np.argsort(-residual, kind="stable"), np.argsort(residual, kind="stable")
    return [
        _quarters(answers),
        _largest("Too high", answers, high[residual[high] > 0][:most], text),
        _largest("Too low", answers, low[residual[low] < 0][:most], text),
    ]


def _quarters(answers: Measured) -> Section:
    residual = answers.guess - answers.gold
    parts = {f"{low:.4g} to {high:.4g}": mask for low, high, mask in quantiles(answers.gold)}
    rows = []
    for name, mask in {"all": np.ones(len(residual), dtype=bool), **parts}.items():
        figures = (answers.gold[mask].mean(), answers.guess[mask].mean(), np.abs(residual[mask]).mean())
        rows.append([name, f"{mask.sum():,}", *(f"{value:.4g}" for value in figures), f"{residual[mask].mean():+.4g}"])
    varied = np.ptp(answers.gold) and np.ptp(answers.guess)
    pearson = f"{np.corrcoef(answers.gold, answers.guess)[0, 1]:.3f}" if varied else "-"
    note = (
        f"by quarters of the gold number. Root of the mean square {np.sqrt((residual**2).mean()):.4g}, "
        f"Pearson's correlation {pearson}"
    )
    head = ["gold", "examples", "mean gold", "mean guess", "mean error", "guess - gold"]
    picture = draw_guesses(answers.gold, answers.guess, pearson)
    return Section("Residuals", note, Table(head, rows), picture=picture)


def _largest(title: str, answers: Measured, order: np.ndarray, text: Mapping[str, str]) -> Section:
    examples = [
        Shown(f"{answers.gold[i]:.4g} → {answers.guess[i]:.4g}  {answers.where[i]}", text[answers.where[i]])
        for i in order.tolist()
    ]
    return Section(title, "gold → guess, the largest residuals first" if examples else "none", examples=examples)
