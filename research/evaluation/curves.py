"""``loss_curves.png`` and ``mixture.png``: a line an objective, a line a stream."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from research.evaluation.plot import MARKS, canvas, plain, save
from research.evaluation.rows import rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

Curves = Mapping[str, "tuple[ndarray, ndarray]"]


def draw_losses(metrics: Path, out: Path) -> None:
    """Draw the raw losses of a ``metrics.csv`` over its steps, faint as logged and strong as a moving mean."""
    import numpy as np

    def draw(axes: "Axes", curves: Curves) -> None:
        for i, (name, (steps, losses)) in enumerate(curves.items()):
            width = max(len(losses) // 20, 1)
            smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
            (line,) = axes.plot(steps[width - 1 :], smooth, MARKS[i % 4], label=plain(name))
            axes.plot(steps, losses, color=line.get_color(), alpha=0.25, linewidth=0.8)
        axes.set(ylabel="loss (nats)", yscale="log")

    _save(out, metrics.parent.name, curves_of(metrics, "loss/"), draw)


def draw_mixture(curves: Curves, out: Path, title: str) -> None:
    """Draw the probabilities of streams over steps."""

    def draw(axes: "Axes", curves: Curves) -> None:
        for i, (name, (steps, probabilities)) in enumerate(curves.items()):
            axes.plot(steps, probabilities, MARKS[i % 4], label=plain(name))
        axes.set(ylabel="probability of a step", ylim=(0, 1))

    _save(out, title, curves, draw)


def curves_of(metrics: Path, prefix: str) -> Curves:
    """The columns of a ``metrics.csv`` whose names begin so, as (steps, values) by the rest of the name."""
    import numpy as np

    rows = rows_of(metrics)
    curves = {}
    for name in rows[0] if rows else {}:
        if name.startswith(prefix) and (points := [(int(r["step"]), float(r[name])) for r in rows if r[name]]):
            curves[name.removeprefix(prefix)] = (np.array([s for s, _ in points]), np.array([v for _, v in points]))
    return curves


def _save(out: Path, title: str, curves: Curves, draw: "Callable[[Axes, Curves], None]") -> None:
    figure, axes = canvas()
    draw(axes, curves)
    axes.set(xlabel="training step", title=plain(title))
    save(figure, axes, out)
