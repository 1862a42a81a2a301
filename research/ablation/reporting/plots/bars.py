"""Bars with intervals: what each arm came to, and how far that is from its baseline."""

from collections.abc import Iterator

from research.ablation.reporting.layout import Layout, name, short, with_half
from research.ablation.reporting.plots.drawing import Drawing, called, drawing, mean_of
from research.evaluation.plot import panels


def bars(layout: Layout) -> Iterator[Drawing]:
    """One for each column; the second panel is there if anything was compared."""
    for column in layout.columns:
        if not (means := {row: of for row in layout.rows if (of := mean_of(layout, row, column)) is not None}):
            continue
        arms = [layout.arm(row, column) or () for row in means]
        apart = {i: made for i, arm in enumerate(arms)
                 if (made := layout.analysis.comparisons.get((arm, column.metric))) is not None}  # fmt: skip
        figure, axes = panels(1 + bool(apart), 1.2 + 0.35 * len(means), sharey=True)
        for i, of in enumerate(means.values()):
            axes[0].barh(i, of.mean, xerr=of.half, capsize=3, color="C0")
        axes[0].set(xlabel=f"{short(column.metric)} (mean, 95% interval)", yticks=range(len(means)),
                    yticklabels=map(called, means))  # fmt: skip
        axes[0].invert_yaxis()
        for i, made in apart.items():
            half = (made.high - made.low) / 2 if made.high is not None and made.low is not None else None
            axes[1].barh(i, made.difference, xerr=half, capsize=3, color="C1")
        if apart:
            axes[1].axvline(0, color="black", linewidth=0.8)
            axes[1].set(xlabel="difference from the baseline (95% interval)")
        digits = layout.digits(column.metric)
        told = ", ".join(f"{name(row)} {with_half(of.mean, of.half, digits)}" for row, of in means.items())
        yield drawing(figure, axes, str(column), told)
