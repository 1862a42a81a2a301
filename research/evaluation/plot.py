"""What all plots have in common: colours that everyone can tell apart, dashes for those in print, and a grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ["-", "--", "-.", ":"]


def canvas() -> "tuple[Any, Axes]":
    """An empty figure and its axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("tableau-colorblind10")
    return plt.subplots(figsize=(7, 4), layout="constrained")


def save(figure: Any, axes: "Axes", out: Path) -> None:
    """Write the figure, with a legend if anything is drawn, and close it."""
    import matplotlib.pyplot as plt

    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)
    plt.close(figure)
