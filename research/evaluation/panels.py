"""What a page draws of runs: a panel a figure of the log, the runs side by side on the same axes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from research.evaluation.plot import ABREAST, MARKS, entries, plain, same, svg
from research.evaluation.run_log import Curve, RunLog

TITLE = 36  # characters above a panel
POINTS = 400  # of a drawn line; more are averaged
SHARES = 20  # of a line of shares, each of so many steps that it is one
Lines = Mapping[str, Curve]


def columns(*names: str) -> Callable[[RunLog], Lines]:
    """A panel of these curves, as many as a run has."""
    return lambda log: {name.replace("_", " "): log.curves[name] for name in names if name in log.curves}


def group(prefix: str) -> Callable[[RunLog], Lines]:
    """A panel of the curves whose names begin so."""
    return lambda log: log.group(prefix)


def held_out(log: RunLog) -> Lines:
    """Validation losses."""
    losses = {name.removesuffix("/loss"): c for name, c in log.group("validation/").items() if name.endswith("/loss")}
    return {f"{name} (validation)": curve for name, curve in losses.items()}


def results(log: RunLog) -> Lines:
    """What else validation measures, where it is a share or a correlation."""
    figures = {name: c for name, c in log.group("validation/").items() if not name.endswith("loss")}
    return {name: (steps, values) for name, (steps, values) in figures.items() if np.abs(values).max() <= 1}


def mixture(log: RunLog) -> Lines:
    """The steps of each stream as they came; those that were drawn, as they were asked for."""
    asked = {f"{name} (asked)": curve for name, curve in log.group("probability/").items()}
    return {**{f"{name} (came)": thinned(curve, SHARES) for name, curve in log.came().items()}, **asked}


@dataclass(frozen=True)
class Panel:
    """Args:
    title: what it shows.
    unit: of the vertical axis.
    lines: the curves of a run by their names.
    scale: of the vertical axis.
    limits: of the vertical axis, where it has natural ones.
    """

    title: str
    unit: str
    lines: Callable[[RunLog], Lines]
    scale: str = "linear"
    limits: tuple[float, float] | None = None


PANELS = (
    Panel("Losses", "loss (nats)", lambda log: {**log.group("loss/"), **held_out(log)}, "log"),
    Panel("Weighted losses", "weight × loss (nats)", group("weighted/"), "log"),
    Panel("Weights", "weight (no unit)", group("weight/"), "log"),
    Panel("Validation", "share or correlation", results),
    Panel("Gradients of the objectives", "norm on the backbone (nats)", group("gradient/"), "log"),
    Panel("Cosines between gradients", "cosine (no unit)", group("cosine/"), limits=(-1.05, 1.05)),
    Panel("Gradient that is applied, before clipping", "norm (nats)", columns("gradient_norm"), "log"),
    Panel("Mixture", "share of the steps", mixture, limits=(-0.02, 1.02)),
    Panel("Learning rate", "rate (no unit)", columns("learning_rate")),
    Panel("Throughput", "real tokens (1/s)", columns("tokens_per_second"), limits=(0, np.inf)),
    Panel("Waiting for data", "share of the time", columns("waiting_for_data"), limits=(-0.02, 1.02)),
    Panel("Peak memory", "memory (GB)", columns("peak_memory_gb"), limits=(0, np.inf)),
)


def draw(panel: Panel, logs: Sequence[RunLog]) -> str | None:
    """The panel as SVG, a column a run; none where no run has such a figure."""
    drawn = [panel.lines(log) for log in logs]
    names = list(dict.fromkeys(name for lines in drawn for name in lines))
    if not names:
        return None
    figure, axes = same(len(logs))
    for ax, log, lines in zip(axes, logs, drawn, strict=True):
        for name, curve in lines.items():
            i = names.index(name)
            steps, values = thinned(curve)
            marker = "." if len(steps) < 2 else None
            ax.plot(steps, values, MARKS[i % 4], color=f"C{i % 10}", label=plain(name), marker=marker)
        ax.set(
            xlabel="training step (batch)",
            title=plain(log.name, TITLE) if len(logs) > 1 else None,
            yscale=_scale(panel, drawn),
        )
        ax.grid(alpha=0.3)
    for ax in axes[::ABREAST]:
        ax.set_ylabel(panel.unit)
    if panel.limits is not None:
        low, high = panel.limits
        axes[0].set_ylim(low, high if np.isfinite(high) else 1.05 * _finite(drawn).max())
    if len(names) > 1:
        figure.legend(*entries(axes), loc="outside right upper", fontsize="small")
    return element(svg(figure))


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """At most so many points, each the mean of as many steps."""
    steps, values = curve
    pieces = min(len(steps), points)
    split = (np.array_split(part, pieces) for part in (steps, values))
    return tuple(np.array([piece.mean() for piece in part]) for part in split)  # type: ignore[return-value]


def element(drawing: str) -> str:
    """An SVG file as the element of a page."""
    return drawing[drawing.index("<svg") :]


def _scale(panel: Panel, drawn: Sequence[Lines]) -> str:
    """A logarithm needs numbers above 0, and is for figures that differ by more than a factor of 10."""
    values = _finite(drawn)
    return panel.scale if values.min() > 0 and values.max() > 10 * values.min() else "linear"


def _finite(drawn: Sequence[Lines]) -> np.ndarray:
    values = np.concatenate([values for lines in drawn for _, values in lines.values()])
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.ones(1)
