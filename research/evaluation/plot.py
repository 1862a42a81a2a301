"""What all plots have in common: colours that everyone can tell apart, dashes for those in print, and a grid."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ["-", "--", "-.", ":"]
LONGEST = 60  # characters of a name that a plot has room for


def canvas() -> "tuple[Any, Axes]":
    """An empty figure and its axes."""
    figure, (axes,) = panels(1)
    return figure, axes


def panels(count: int, height: float = 4, **shared: Any) -> "tuple[Any, Sequence[Axes]]":
    """An empty figure and the axes of panels side by side; ``height`` in inches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("tableau-colorblind10")
    figure, axes = plt.subplots(1, count, figsize=(7 if count == 1 else 5 * count, height), layout="constrained",
                                squeeze=False, **shared)  # fmt: skip
    return figure, list(axes[0])


def row(count: int) -> "tuple[Any, list[Axes]]":
    """An empty figure with so many axes side by side that have the same limits."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("tableau-colorblind10")
    size = (3.5 + 4 * count, 3.2)
    figure, axes = plt.subplots(1, count, sharex=True, sharey=True, squeeze=False, figsize=size, layout="constrained")
    return figure, list(axes[0])


def save(figure: Any, axes: "Axes", out: Path) -> None:
    """Write the figure, with a legend if anything is drawn, and close it."""
    import matplotlib.pyplot as plt

    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def plain(name: str) -> str:
    """A user's name as a plot takes it: no formula, never hidden, and without its middle where it is long."""
    if len(name) > LONGEST:
        name = f"{name[: LONGEST // 2]}…{name[1 - LONGEST // 2 :]}"
    return f"{' ' * name.startswith('_')}{name}".replace("$", r"\$")  # Matplotlib hides what begins with _


def entries(axes: "Sequence[Axes]") -> tuple[list[Any], list[str]]:
    """What a legend of all axes shows: each name once."""
    known: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(name, handle)
    return list(known.values()), list(known)


def svg(figure: Any) -> str:
    """The figure as SVG with its words as text, the same for the same figure, and close it."""
    import matplotlib.pyplot as plt

    file = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "hybrid-fine-tuning", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # what shows the page has its own fonts
        figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    return file.getvalue()
