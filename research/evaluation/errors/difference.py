"""What one run gets right and another wrong."""

from collections.abc import Mapping

import numpy as np

from research.ablation.reporting.statistics import interval as mean_interval
from research.evaluation.errors.answers import Answers, Judged, Scored
from research.evaluation.errors.sections import Section, Shown, Table


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """The exact two-sided p of right answers (N,) bool of two runs (McNemar 1947): a binomial test of the examples that
    one of them alone gets right, of which each should have half.
    """
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    only, other = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(only, only + other).pvalue) if only + other else 1.0


def difference_sections(
    first: Answers, second: Answers, masks: Mapping[str, np.ndarray], text: Mapping[str, str], most: int
) -> list[Section]:
    """A table by slice, and the examples that A, the first, or B, the second, alone gets right, or better."""
    if isinstance(first, Judged) and isinstance(second, Judged):
        return _judged(first, second, masks, text, most)
    assert isinstance(first, Scored) and isinstance(second, Scored)
    return _scored(first, second, masks, text, most)


def _judged(
    first: Judged, second: Judged, masks: Mapping[str, np.ndarray], text: Mapping[str, str], most: int
) -> list[Section]:
    a, b = first.right, second.right
    rows = []
    for name, mask in {"all": np.ones(len(a), dtype=bool), **masks}.items():
        gain = 100 * (b[mask].mean() - a[mask].mean())
        agree = first.alike(second)[mask].mean()
        counts = [mask.sum(), (a & ~b)[mask].sum(), (b & ~a)[mask].sum()]
        p = mcnemar(a[mask], b[mask])
        rows.append([name, *(f"{n:,}" for n in counts), f"{gain:+.1f}", f"{agree:.1%}", f"{p:.3f}"])
    note = (
        f"only A, only B: examples that one alone gets right; B - A: points of {first.figure}; agree: the same guess; "
        "p: McNemar's exact test, of each row by itself: of many slices one in twenty has a p below 0.05 by chance"
    )
    head = ["slice", "examples", "only A", "only B", "B - A", "agree", "p"]
    return [
        Section("Right and wrong", note, Table(head, rows)),
        _alone("A right, B wrong", first, second, a & ~b, text, most),
        _alone("B right, A wrong", first, second, b & ~a, text, most),
    ]


def _alone(title: str, first: Judged, second: Judged, which: np.ndarray, text: Mapping[str, str], most: int) -> Section:
    """Those on which the one that errs is the surest, before others."""
    sure = np.where(first.right, second.sure, first.sure)
    found = np.flatnonzero(which)
    order = found[np.argsort(-sure[found], kind="stable")][:most]
    examples = []
    for i in order.tolist():
        (gold, a), (_, b) = first.told(i), second.told(i)
        guesses = f"A {a} ({first.sure[i]:.2f}), B {b} ({second.sure[i]:.2f})"
        examples.append(Shown(f"{gold}: {guesses}  {first.where[i]}", text[first.where[i]]))
    return Section(title, f"{len(found):,} examples", examples=examples)


def _scored(
    first: Scored, second: Scored, masks: Mapping[str, np.ndarray], text: Mapping[str, str], most: int
) -> list[Section]:
    a, b = first.scores, second.scores
    rows = []
    for name, mask in {"all": np.ones(len(a), dtype=bool), **masks}.items():
        apart = mean_interval(b[mask] - a[mask])
        means = [f"{mean:.4g}" for mean in (a[mask].mean(), b[mask].mean())]
        span = "-" if apart.low is None else f"{apart.low:+.4g} to {apart.high:+.4g}"
        rows.append([name, f"{mask.sum():,}", *means, f"{apart.mean:+.4g}", span])
    better = "more" if first.best > 0 else "less"
    note = f"the mean {first.figure}, of which {better} is better, and the 95% interval of B - A (Student's, paired)"
    gain = first.best * (b - a)
    head = ["slice", "examples", "A", "B", "B - A", "interval"]
    return [
        Section(f"Difference in {first.figure}", note, Table(head, rows)),
        _apart("A better", first, second, np.argsort(gain, kind="stable"), gain < 0, (a, b), text, most),
        _apart("B better", first, second, np.argsort(-gain, kind="stable"), gain > 0, (a, b), text, most),
    ]


def _apart(
    title: str,
    first: Scored,
    second: Scored,
    order: np.ndarray,
    which: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    text: Mapping[str, str],
    most: int,
) -> Section:
    """Those with the largest difference."""
    examples = []
    for i in order[which[order]][:most].tolist():
        gold, a, b = (shown_value(of[i]) for of in (first.gold, first.guess, second.guess))
        told = f"gold: {gold}\nA: {a}\nB: {b}\n{text[first.where[i]]}"
        examples.append(Shown(f"A {scores[0][i]:.4g}, B {scores[1][i]:.4g}  {first.where[i]}", told))
    return Section(title, f"{which.sum():,} examples, the largest differences first", examples=examples)


def shown_value(value: object) -> str:
    """A number, a text, or the first of several texts."""
    return f"{value:.4g}" if isinstance(value, float) else str(value[0]) if isinstance(value, list) else str(value)
