"""Between the objectives: one that dominates, one that does nothing, two that pull against each other."""

from collections.abc import Iterator

import numpy as np

from research.evaluation.diagnosis.finding import Finding, levels, span
from research.evaluation.diagnosis.thresholds import (
    CONFLICT,
    DOMINANT,
    DOMINANT_LOSS,
    EXPECTED,
    LEARNED,
    MEASURES,
    ORDINARY_LOSS,
    POINTS,
    SILENT,
)
from research.evaluation.run_log import RunLog

ADD = "add research.callbacks.ObjectiveGradients to trainer.callbacks to see their gradients"


def shares(log: RunLog, kind: str) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each objective steps, and its share of a figure there, with weights and without: among those of the step.

    Those without a stream are not among them: anchors start with nothing to say.
    """
    raw, weights = log.group(f"{kind}/"), log.group("weight/")
    names = [name for name in raw if name in weights and log.objectives.get(name)]
    every = np.unique(np.concatenate([raw[name][0] for name in names])) if names else np.zeros(0, int)
    plain, weighted = np.zeros((2, len(names), len(every)))
    for i, name in enumerate(names):
        steps, values = raw[name]
        known = np.isin(steps, weights[name][0])
        at = np.searchsorted(every, steps[known])
        plain[i, at] = np.abs(values[known])
        weighted[i, at] = plain[i, at] * weights[name][1][np.searchsorted(weights[name][0], steps[known])]
    many = (plain > 0).sum(0) > 1
    out = {}
    for i, name in enumerate(names):
        here = np.isin(every, raw[name][0]) & (many | (plain[i] == 0)) & np.isfinite(plain.sum(0))
        parts = [part[i, here] / np.maximum(part[:, here].sum(0), 1e-30) for part in (weighted, plain)]
        out[name] = every[here], parts[0], parts[1]
    return out


def learned(log: RunLog, name: str) -> bool:
    """Whether an objective's loss came down to ``LEARNED`` of where it began."""
    losses = levels(log.curves[f"loss/{name}"][1])
    return bool(losses[-1] <= LEARNED * losses[0])


def dominating(log: RunLog) -> Iterator[Finding]:
    """Over the first half of the run, and only where another objective of the steps is not learned for all that."""
    measured = shares(log, "gradient")
    for name, (steps, weighted, plain) in (measured or shares(log, "loss")).items():
        half = slice(0, -(-len(steps) // 2))
        others = [other for other, s in log.objectives.items() if s and other != name and f"loss/{other}" in log.curves]
        if len(steps) < (MEASURES if measured else POINTS) or all(learned(log, other) for other in others):
            continue
        share, unweighted = np.median(weighted[half]), np.median(plain[half])
        by_weight = unweighted < 1 - SILENT if measured else unweighted <= ORDINARY_LOSS  # else the others are silent
        if by_weight and share >= (DOMINANT if measured else DOMINANT_LOSS):
            weight = np.median(log.curves[f"weight/{name}"][1])
            kind = "gradients" if measured else "losses"
            advice = f"Lower its weight, {weight:.4g} now, or use research.weighting.LossScale or GradNorm"
            yield Finding(
                log.name,
                name,
                f"dominates: {share:.2%} of the weighted {kind}",
                span(steps[half]),
                f"{advice}." if measured else f"{advice}; {ADD}.",
            )


def silent(log: RunLog) -> Iterator[Finding]:
    """Never computed, or with a gradient of nothing."""
    steps = log.curves["loss"][0]
    drawn = {name: log.curves.get(f"probability/{stream}") for name, stream in log.objectives.items()}
    due = [name for name, asked in drawn.items() if asked is None or asked[1].sum() >= EXPECTED]
    never = [name for name in due if f"loss/{name}" not in log.curves]
    if never and len(steps) >= POINTS:
        advice = "Their weight is 0 or their stream gives no batch: set model.weighting, or leave them out."
        yield Finding(log.name, ", ".join(never), "never computed", span(steps), advice)
    for name, (at, weighted, plain) in shares(log, "gradient").items():
        if len(at) < MEASURES or max(np.median(weighted), np.median(plain)) >= SILENT:
            continue
        norm = np.median(log.curves[f"gradient/{name}"][1])
        if norm == 0:
            what = "is dead: its gradient does not reach the backbone"
            yield Finding(log.name, name, what, span(at), "See what of its path is frozen or detached.")
        elif not learned(log, name):
            what = f"is dead: its gradient has a norm of {norm:.2g}, {np.median(plain):.1e} of all"
            advice = "Raise its weight by orders of magnitude, see its temperature or scale, or remove it."
            yield Finding(log.name, name, what, span(at), advice)


def conflicting(log: RunLog) -> Iterator[Finding]:
    """Pairs of objectives whose gradients point apart, by the median of their cosines."""
    for pair, (steps, cosines) in log.group("cosine/").items():
        if len(steps) >= MEASURES and (middle := np.median(cosines)) <= CONFLICT:
            advice = "Use research.weighting.Aggregation, or see whether labels or teacher of one are wrong."
            what = f"pull against each other: their gradients have a cosine of {middle:.2f}"
            yield Finding(log.name, pair.replace("/", " and "), what, span(steps), advice)
