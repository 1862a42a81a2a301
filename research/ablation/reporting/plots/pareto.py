"""Quality against cost, and the arms that none beats in both."""

from collections.abc import Iterator, Mapping

from research.ablation.reporting.layout import Layout, name
from research.ablation.reporting.plots.drawing import Drawing, drawing, mean_of, scatter
from research.ablation.reporting.statistics import interval
from research.evaluation.plot import panels


def pareto(layout: Layout) -> Iterator[Drawing]:
    """One for each column, over the seconds of training; the line joins the front."""
    for column in layout.columns:
        points, sign = {}, 1 if layout.analysis.metrics[column.metric] == "max" else -1
        for i, row in enumerate(layout.rows):
            arm, quality = layout.arm(row, column), mean_of(layout, row, column)
            if arm is not None and quality is not None:
                points[i] = interval(layout.analysis.cost(arm, "seconds")), quality
        if len(points) < 2:
            continue
        best = front({i: (cost.mean, sign * quality.mean) for i, (cost, quality) in points.items()})
        figure, axes = panels(1)
        axes[0].plot([points[i][0].mean for i in best], [points[i][1].mean for i in best], color="black", linewidth=1)
        scatter(axes[0], layout, points)
        axes[0].set(xlabel="training time of a run (s)", ylabel=layout.headed(column.metric))
        shown = [f"{name(layout.rows[i])} ({points[i][0].mean:.4g} s, {points[i][1].mean:.4g})" for i in best]
        yield drawing(figure, axes, f"{column} against cost", f"not beaten in both: {', '.join(shown)}")


def front(points: Mapping[int, tuple[float, float]]) -> list[int]:
    """The (cost, quality) that no other has at less cost or better, more being better; from the cheapest on."""
    out: list[int] = []
    for i in sorted(points, key=lambda i: (points[i][0], -points[i][1])):
        if not out or points[i][1] > points[out[-1]][1]:
            out.append(i)
    return out
