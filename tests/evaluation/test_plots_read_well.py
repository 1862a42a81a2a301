"""Every plot says what its axes are, and its lines differ by more than colour."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from research.compression.table import Row
from research.compression.table import plot as draw_compression
from research.data.inspect.plots import draw_lengths, draw_mixture
from research.evaluation import curves
from research.evaluation.errors.pictures import draw_guesses, draw_map, draw_matrix
from research.inference.decisions.risk import draw_coverage_risk
from research.inference.explanation.page import _layers, _maps

NAMES = ("mlm", "ce", "kd", "nce")
STEPS = np.arange(1, 6)
MODELS = [Row(name, 10**8 // i, 10**7, 8.0 / i, 10**8, 0.9 - i / 50) for i, name in enumerate(NAMES, 1)]


def losses(folder: Path) -> None:
    rows = [",".join(["step", *(f"loss/{name}" for name in NAMES)])]
    rows += [f"{step},{','.join(str(1 / step + i) for i in range(4))}" for step in STEPS]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    curves.draw_losses(folder / "metrics.csv", folder / "losses.png")


PLOTS: dict[str, Callable[[Path], Any]] = {
    "losses": losses,
    "mixture": lambda to: curves.draw_mixture({name: (STEPS, STEPS / 9) for name in NAMES}, to / "a.png", "run"),
    "lengths": lambda to: draw_lengths({n: SimpleNamespace(lengths=STEPS) for n in NAMES}, to / "a.png"),  # type: ignore[misc]
    "forecast": lambda to: draw_mixture({name: np.ones(40) for name in NAMES}, to / "a.png"),
    "risk": lambda to: draw_coverage_risk({name: (STEPS / 5, STEPS / 9) for name in NAMES}, to / "a.png", "task"),
    "compression": lambda to: draw_compression(MODELS, "accuracy", to / "a.png"),
    "confusions": lambda to: draw_matrix(np.eye(3), ["a", "b", "c"]),
    "data map": lambda to: draw_map([{"variability": 0.1, "confidence": 0.4, "correctness": 1.0}] * 3),
    "guesses": lambda to: draw_guesses(STEPS / 5, STEPS / 6, "0.9"),
    "layers": lambda to: _layers([[0.1, -0.2], [0.3, 0.4]], ["so", "it"]),
    "attention": lambda to: _maps([np.eye(2), np.eye(2)], ["so", "it"]),
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The figures that were drawn, which stay open until the test has looked."""
    import matplotlib.pyplot as plt

    figures: list[Any] = []
    close = plt.close
    monkeypatch.setattr(plt, "close", figures.append)
    yield figures
    for figure in figures:
        close(figure)


@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_named_and_lines_differ_without_colour(name: str, drawn: list[Any], tmp_path: Path) -> None:
    PLOTS[name](tmp_path)
    (figure,) = drawn
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert all(ax.get_ylabel() for ax in bars)
    if any(ax.images for ax in figure.axes):
        assert bars, "colours without a scale"
    for ax in set(figure.axes) - set(bars):
        assert ax.get_xlabel() and ax.get_ylabel()
        handles, labels = ax.get_legend_handles_labels()
        looks = {(line.get_linestyle(), line.get_marker(), line.get_fillstyle()) for line in handles}
        assert len(looks) == len(labels)
