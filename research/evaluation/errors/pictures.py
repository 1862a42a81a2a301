"""A confusion matrix, a data map and guessed numbers as drawings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.evaluation.errors.sections import Picture
from research.evaluation.plot import canvas, plain, svg

NAMED, LETTERS = 30, 24  # classes whose names an axis has room for, and how much of each


def draw_matrix(matrix: np.ndarray, labels: Sequence[str]) -> Picture:
    """The shares of each gold class (C, C), a row each."""
    figure, axes = canvas()
    figure.set_size_inches(9, 7)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the gold class")
    if len(labels) <= NAMED:
        names = [plain(label, LETTERS) for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="guess", ylabel="gold")
    right = np.trace(matrix) / max(matrix.sum(), 1)
    return Picture(
        svg(figure), f"Confusion matrix of {len(labels)} classes; {right:.1%} of the examples lie on its diagonal"
    )


def draw_map(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Confidence over variability of each training example, coloured by correctness."""
    figure, axes = canvas()
    columns = (np.array([row[name] for row in rows]) for name in ("variability", "confidence", "correctness"))
    variability, confidence, correctness = columns
    points = axes.scatter(variability, confidence, c=correctness, cmap="cividis", vmin=0, vmax=1, s=12, alpha=0.7,
                          rasterized=True)  # fmt: skip
    figure.colorbar(points, label="correctness (share of looks)")
    axes.set(xlabel="variability (standard deviation of the probability)", ylabel="confidence (mean probability)")
    low = float(np.mean(confidence < 0.5))
    return Picture(svg(figure), f"Map of {len(rows)} training examples; {low:.1%} of them have a confidence below 1/2")


def draw_guesses(gold: np.ndarray, guess: np.ndarray, pearson: str) -> Picture:
    """Guessed over gold numbers (N,), and the line where they are equal."""
    figure, axes = canvas()
    axes.scatter(gold, guess, s=12, alpha=0.5, rasterized=True)
    axes.axline((gold.mean(), gold.mean()), slope=1, color="black", linewidth=1)
    axes.set(xlabel="gold", ylabel="guess")
    return Picture(svg(figure), f"Guesses over gold numbers of {len(gold)} examples; Pearson's correlation {pearson}")
