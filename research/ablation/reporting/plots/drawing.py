"""What the plots share: a colour, a dash and a mark for each row, and the words for those who cannot see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from research.ablation.reporting.analysis import Arm
from research.ablation.reporting.layout import Column, Layout, name
from research.ablation.reporting.statistics import Interval, interval
from research.evaluation.plot import MARKS, POINTS, entries, plain, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 0.08, 0.22  # inches of a letter, and of a line


@dataclass(frozen=True)
class Drawing:
    """A plot, and what it shows in words."""

    title: str
    svg: str
    text: str


def style(i: int) -> dict[str, Any]:
    """How the i-th row looks in all plots."""
    return {"color": f"C{i % 10}", "linestyle": MARKS[(i + i // 10) % 4]}


def called(arm: Arm) -> str:
    """The name of an arm, or of a row, in a plot."""
    return plain(name(arm))


def mean_of(layout: Layout, row: Arm, column: Column) -> Interval | None:
    """None where nothing is measured."""
    arm = layout.arm(row, column)
    values = list(layout.analysis.figures(arm, column.metric).values()) if arm is not None else []
    return interval(values) if values else None


def scatter(ax: "Axes", layout: Layout, points: Mapping[int, tuple[Interval, Interval]]) -> None:
    """A point for each row by its number, with its intervals in both directions."""
    for i, (x, y) in points.items():
        ax.errorbar(x.mean, y.mean, xerr=x.half, yerr=y.half, fmt=POINTS[i % len(POINTS)], color=style(i)["color"],
                    elinewidth=0.8, capsize=2, label=called(layout.rows[i]))  # fmt: skip


def longest(names: Sequence[str]) -> int:
    """Letters of the longest name, to leave room for it."""
    return max(map(len, names), default=0)


def drawing(figure: Any, axes: "Sequence[Axes]", title: str, text: str) -> Drawing:
    """The figure with its grid and, if anything has a label, a legend beside it; it grows with its names."""
    handles, labels = entries(axes)
    ticks = [tick.get_text() for tick in axes[0].get_yticklabels()]
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + WIDTH * longest(labels) + WIDTH * longest(ticks), max(height, HEIGHT * len(labels)))
    if labels:
        figure.legend(handles, labels, loc="outside right center")
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.set_axisbelow(True)
    return Drawing(title, svg(figure), text)
