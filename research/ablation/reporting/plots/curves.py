"""Learning curves: the mean of the seeds, and one standard deviation to both sides."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from research.ablation.reporting.layout import Column, Layout, name
from research.ablation.reporting.plots.drawing import Drawing, called, drawing, style
from research.evaluation.plot import panels

if TYPE_CHECKING:
    from numpy import ndarray


def curves(layout: Layout) -> Iterator[Drawing]:
    """For each task what validations measured of the metrics, over steps; the loss if they measured none of them.

    Arms of different objectives sum up different losses, so a lower one is not a better one.
    """
    for task in dict.fromkeys(column.task for column in layout.columns):
        metrics = [column.metric for column in layout.columns if column.task == task]
        wanted = dict.fromkeys(metric.replace("test/", "validation/", 1) for metric in metrics)
        drawn = {key: lines for key in wanted if (lines := lines_of(layout, task, key))}
        if not drawn and (lines := lines_of(layout, task, "loss")):
            drawn = {"loss": lines}
        if not drawn:
            continue
        figure, axes = panels(len(drawn), 4.5)
        told = []
        for ax, (key, lines) in zip(axes, drawn.items(), strict=True):
            for i, (steps, mean, deviation) in lines.items():
                ax.plot(steps, mean, label=called(layout.rows[i]), **style(i))
                ax.fill_between(steps, mean - deviation, mean + deviation, color=style(i)["color"], alpha=0.2, lw=0)
            ax.set(xlabel="training step", ylabel="loss (nats)" if key == "loss" else key)
            ends = ", ".join(f"{name(layout.rows[i])} {mean[-1]:.4g}" for i, (_, mean, _) in lines.items())
            told.append(f"{key} at the end: {ends}")
        yield drawing(figure, axes, f"Learning curves{f', {task}' if task else ''}", "; ".join(told))


def lines_of(layout: Layout, task: str | None, key: str) -> "dict[int, tuple[ndarray, ndarray, ndarray]]":
    """By the row's number: steps, mean and standard deviation of its seeds."""
    lines = {}
    for i, row in enumerate(layout.rows):
        arm = layout.arm(row, Column(task, key))
        points = [of for run in layout.analysis.done(arm) if (of := points_of(run, key))] if arm is not None else []
        if points and (line := band(points)) is not None:
            lines[i] = line
    return lines


def points_of(run: dict[str, Any], key: str) -> list[tuple[float, float]]:
    """The steps at which the run measured it, and what it was."""
    curve = run.get("curve") or {}
    return [(step, value) for step, value in zip(curve.get("step", []), curve.get(key, []), strict=False)
            if value is not None]  # fmt: skip


def band(points: list[list[tuple[float, float]]]) -> "tuple[ndarray, ndarray, ndarray] | None":
    """The steps between which all have values; their mean and standard deviation, straight between two points."""
    import numpy as np

    known = [np.array(one, dtype=float).T for one in points]
    steps = np.unique(np.concatenate([at for at, _ in known]))
    steps = steps[(steps >= max(at[0] for at, _ in known)) & (steps <= min(at[-1] for at, _ in known))]
    if not len(steps):
        return None
    values = np.array([np.interp(steps, *one) for one in known])
    return steps, values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
