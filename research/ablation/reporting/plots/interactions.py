"""What an objective adds without and with another, where the arms hold all four cases."""

from collections.abc import Iterator, Mapping, Sequence

from research.ablation.reporting.analysis import Arm
from research.ablation.reporting.interaction import Square, effects, squares
from research.ablation.reporting.layout import Column, Layout, name, short, with_half
from research.ablation.reporting.plots.drawing import Drawing, drawing
from research.ablation.reporting.statistics import Interval
from research.evaluation.plot import panels, plain


def interactions(layout: Layout) -> Iterator[Drawing]:
    """One for each column, axis of objectives, and values of the other axes."""
    for at, axis in enumerate(layout.axes):
        if not (found := squares(layout.analysis.header["axes"][axis])):
            continue
        for before, after in dict.fromkeys((row[:at], row[at + 1 :]) for row in layout.rows):
            for column in layout.columns:
                known = {}
                for square in found:
                    rows = [(*before, value, *after) for value in square.values]
                    if of := effects(layout.analysis, [layout.arm(row, column) for row in rows], column.metric):
                        known[square] = of
                if known:
                    yield pairs(layout, column, (*before, *after), known)


def pairs(layout: Layout, column: Column, others: Arm, known: Mapping[Square, Sequence[Interval]]) -> Drawing:
    """Two bars a square: the effect without and with the other."""
    figure, axes = panels(1, 1.5 + 0.6 * len(known))
    for offset, (which, label) in zip((-0.2, 0.2), enumerate(["without the other", "with the other"]), strict=True):
        of = [effect[which] for effect in known.values()]
        halves = [one.half or 0 for one in of]
        axes[0].barh([i + offset for i in range(len(of))], [one.mean for one in of], 0.38, xerr=halves, capsize=3,
                     color=f"C{which}", label=label)  # fmt: skip
    axes[0].set(xlabel=f"what it adds to {short(column.metric)} (95% interval)", yticks=range(len(known)),
                yticklabels=[plain(labelled(square)) for square in known])  # fmt: skip
    axes[0].axvline(0, color="black", linewidth=0.8)
    axes[0].invert_yaxis()
    digits = layout.digits(column.metric)
    shown = [
        f"{labelled(square)}: {alone.mean:+.{digits}f} and {beside.mean:+.{digits}f}, "
        f"interaction {with_half(both.mean, both.half, digits)}"
        for square, (alone, beside, both) in known.items()
    ]
    return drawing(figure, axes, f"Interactions, {column}{f', {name(others)}' if others else ''}", "; ".join(shown))


def labelled(square: Square) -> str:
    """What a line of the plot compares, in words."""
    beside = f", beside {square.beside}" if square.beside else ""
    return f"{square.one} without and with {square.other}{beside}"
