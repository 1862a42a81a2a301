"""What the plots share: a colour, a dash and a mark for each row, and the words for those who cannot see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from research.ablation.analysis import Arm
from research.ablation.layout import Column, Layout, name
from research.ablation.statistics import Interval, interval
from research.evaluation.plot import MARKS, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = "osD^vPX*<>"


@dataclass(frozen=True)
class Drawing:
    """A plot, and what it shows in words."""

    title: str
    svg: str
    text: str


def style(i: int) -> dict[str, Any]:
    """How the i-th row looks in all plots."""
    return {"color": f"C{i % 10}", "linestyle": MARKS[i % 4]}


def mean_of(layout: Layout, row: Arm, column: Column) -> Interval | None:
    """None where nothing is measured."""
    arm = layout.arm(row, column)
    values = list(layout.analysis.figures(arm, column.metric).values()) if arm is not None else []
    return interval(values) if values else None


def scatter(ax: "Axes", layout: Layout, points: Mapping[int, tuple[Interval, Interval]]) -> None:
    """A point for each row by its number, with its intervals in both directions."""
    for i, (x, y) in points.items():
        ax.errorbar(x.mean, y.mean, xerr=x.half, yerr=y.half, fmt=POINTS[i % len(POINTS)], color=style(i)["color"],
                    elinewidth=0.8, capsize=2, label=name(layout.rows[i]))  # fmt: skip


def drawing(figure: Any, axes: "Sequence[Axes]", title: str, text: str) -> Drawing:
    """The figure with its grid, and a legend beside it if anything has a label."""
    handles, labels = axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside right center")
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.set_axisbelow(True)
    return Drawing(title, svg(figure), text)
