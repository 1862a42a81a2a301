"""Over the steps: losses that do not move, rise, spike, or fall on the training texts alone."""

from collections.abc import Iterator

import numpy as np

from research.evaluation.diagnosis.finding import Finding, levels, span
from research.evaluation.diagnosis.thresholds import (
    FLAT,
    FLAT_POINTS,
    INFINITE,
    MEASURES,
    POINTS,
    RISEN,
    SHARE_OF_START,
    SPIKE,
    SPIKE_BEFORE,
    SPIKE_SHARE,
    WORSE,
    WORSE_SHARE,
)
from research.evaluation.run_log import RunLog

WIDTH = 5  # steps that a spike lasts at least half of
SLOWER = "Lower model.optimisation.lr, or give its schedule a longer warm-up."


def flat(log: RunLog) -> Iterator[Finding]:
    """The first steps against the last tenth: a loss that has long been learned began higher."""
    for name, (steps, losses) in log.group("loss/").items():
        if len(steps) < FLAT_POINTS:
            continue
        first, last = losses[: FLAT_POINTS // 10], losses[-len(losses) // 10 :]
        error = np.hypot(*(part.std(ddof=1) / len(part) ** 0.5 for part in (first, last)))
        change = last.mean() - first.mean()
        if abs(change) + 2 * error < FLAT * abs(first.mean()):
            what = f"has not moved: its loss was {first.mean():.4g} and is {last.mean():.4g}"
            advice = "Raise its weight or model.optimisation.lr, and see what of its path is frozen."
            yield Finding(log.name, name, what, span(steps), advice)


def rising(log: RunLog) -> Iterator[Finding]:
    """Diverged at the end, or a spike that it came back from."""
    losses = {name: curve for name, curve in log.group("loss/").items() if len(curve[0]) >= POINTS}
    weights = {
        n: float(np.median(log.curves[f"weight/{n}"][1][-POINTS:])) for n in losses if f"weight/{n}" in log.curves
    }
    first = {name: float(np.median(losses[name][1][:MEASURES])) for name in weights}
    start = sum(abs(weight * first[name]) for name, weight in weights.items())
    for name, weight in weights.items():
        steps, values = losses[name]
        level = np.array([first[name], *levels(values[MEASURES:])])
        best = int(level.argmin())
        rise = level[-1] - level[best]
        if level[-1] >= RISEN * level[best] and weight * rise >= SHARE_OF_START * start:
            what = f"diverges: its loss has risen from {level[best]:.4g} to {level[-1]:.4g}"
            since = int(steps[best * len(steps) // len(level)])
            yield Finding(log.name, name, what, (since, int(steps[-1])), SLOWER)
        else:
            yield from _spikes(log.name, name, steps, values, SPIKE_SHARE * start / max(weight, 1e-30))


def _spikes(run: str, name: str, steps: np.ndarray, losses: np.ndarray, least: float) -> Iterator[Finding]:
    """The highest of them."""
    windows = np.lib.stride_tricks.sliding_window_view
    if len(losses) < SPIKE_BEFORE + WIDTH:
        return
    here = np.median(windows(losses, WIDTH), axis=1)[SPIKE_BEFORE:]
    before = windows(losses, SPIKE_BEFORE)[: len(here)]
    middle = np.median(before, axis=1)
    rises = np.where(here - middle >= SPIKE * (before.max(1) - middle), here - middle, 0)
    at = int(rises.argmax())
    if rises[at] > least:
        first, last = steps[SPIKE_BEFORE + at], steps[SPIKE_BEFORE + at + WIDTH - 1]
        what = f"has a spike: its loss went up from {middle[at]:.4g} to {here[at]:.4g}"
        yield Finding(run, name, what, (int(first), int(last)), f"{SLOWER} See the texts of these steps.")


def infinite(log: RunLog) -> Iterator[Finding]:
    """Steps whose gradient is not finite, where they are too many to be the scaler's search."""
    steps, norms = log.curves.get("gradient_norm", (np.zeros(0), np.zeros(0)))
    bad = ~np.isfinite(norms)
    if len(steps) >= POINTS and bad.mean() > INFINITE:
        what = f"is not finite in {bad.mean():.0%} of the steps, which train nothing or break the weights"
        yield Finding(log.name, "the gradient", what, span(steps[bad]), f"{SLOWER} Or set trainer.precision.")


def overfitting(log: RunLog) -> Iterator[Finding]:
    """A validation loss above its best while the training loss went on falling."""
    for name, (steps, losses) in log.group("loss/").items():
        at, held_out = log.curves.get(f"validation/{name}/loss", (np.zeros(0), np.zeros(0)))
        if len(at) <= MEASURES or len(steps) < POINTS:
            continue
        best = int(held_out.argmin())
        rise = held_out[-1] - held_out[best]
        if held_out[-1] < WORSE * held_out[best] or rise < WORSE_SHARE * held_out[0] or best > len(at) - 3:
            continue
        near = np.abs(steps - at[best]).argsort()[: max(len(steps) // 10, 3)]
        if levels(losses)[-1] < np.median(losses[near]):
            what = (
                f"is learned by heart: its validation loss has risen from {held_out[best]:.4g} to {held_out[-1]:.4g} "
                "while its training loss fell"
            )
            advice = "Stop there, raise weight_decay or dropout, or mix in more text."
            yield Finding(log.name, name, what, (int(at[best]), int(at[-1])), advice)
