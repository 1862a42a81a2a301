"""What all plots have in common: colours that everyone can tell apart, dashes for those in print, and a grid."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ["-", "--", "-.", ":"]
POINTS = "osD^vPX*<"  # nine beside ten colours: no two of 90 points look the same
ABREAST = 3  # panels that are still readable on a page
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


def same(count: int) -> "tuple[Any, list[Axes]]":
    """An empty figure with so many axes that have the same limits, at most :data:`ABREAST` side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("tableau-colorblind10")
    rows, columns = -(-count // ABREAST), min(count, ABREAST)
    size = (3.5 + 4 * columns, 3.2 * rows)
    figure, axes = plt.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, figsize=size,
                                layout="constrained")  # fmt: skip
    for ax in axes.flat[count:]:
        ax.remove()
    for ax in axes.flat[:count]:
        ax.tick_params(labelbottom=True)
    return figure, list(axes.flat[:count])


def save(figure: Any, axes: "Axes", out: Path) -> None:
    """Write the figure, with a legend if anything is drawn, and close it."""
    import matplotlib.pyplot as plt

    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def plain(name: str, longest: int = LONGEST) -> str:
    """A user's name as a plot takes it: no formula, never hidden, and without its middle where it is long."""
    name = without_middle(name, longest)
    return f"{' ' * name.startswith('_')}{name}".replace("$", r"\$")  # Matplotlib hides what begins with _


def without_middle(name: str, longest: int) -> str:
    """A name of at most so many characters: names of runs and figures differ at both ends."""
    return name if len(name) <= longest else f"{name[: longest // 2]}…{name[longest // 2 + 1 - longest :]}"


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
