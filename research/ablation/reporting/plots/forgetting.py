"""What was gained against what is left of the model's own abilities."""

from collections.abc import Iterator

from research.ablation.reporting.layout import Column, Layout, name, short
from research.ablation.reporting.plots.drawing import Drawing, drawing, mean_of, scatter
from research.evaluation.plot import panels

KEPT = {"sts", "forgetting"}  # a metric with such a part in its name says what is left


def forgetting(layout: Layout) -> Iterator[Drawing]:
    """For each task the first metric that is of the task itself, against each that says what is left."""
    for task in dict.fromkeys(column.task for column in layout.columns):
        columns = [column for column in layout.columns if column.task == task]
        left = [column for column in columns if KEPT & {*column.metric.split("/")}]
        gained = [column for column in columns if column not in left][:1]
        for gain in gained:
            for kept in left:
                yield from against(layout, gain, kept)


def against(layout: Layout, gain: Column, kept: Column) -> Iterator[Drawing]:
    """Nothing if no arm has both."""
    points = {}
    for i, row in enumerate(layout.rows):
        x, y = mean_of(layout, row, gain), mean_of(layout, row, kept)
        if x is not None and y is not None:
            points[i] = x, y
    if points:
        figure, axes = panels(1)
        scatter(axes[0], layout, points)
        axes[0].set(xlabel=f"gain: {layout.headed(gain.metric)}", ylabel=f"kept: {layout.headed(kept.metric)}")
        shown = ", ".join(f"{name(layout.rows[i])} {x.mean:.4g} and {y.mean:.4g}" for i, (x, y) in points.items())
        yield drawing(figure, axes, f"{kept} against {short(gain.metric)}", shown)
