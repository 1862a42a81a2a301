"""What one run gets right and another wrong."""

from collections.abc import Mapping

import numpy as np

from research.evaluation.errors.answers import Answers
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
    """A table by slice, and the examples that A, the first, or B, the second, alone gets right."""
    a, b = first.right, second.right
    rows = []
    for name, mask in {"all": np.ones(len(a), dtype=bool), **masks}.items():
        gain = 100 * (b[mask].mean() - a[mask].mean())
        agree = (first.guess == second.guess)[mask].mean()
        counts = [mask.sum(), (a & ~b)[mask].sum(), (b & ~a)[mask].sum()]
        p = mcnemar(a[mask], b[mask])
        rows.append([name, *(f"{n:,}" for n in counts), f"{gain:+.1f}", f"{agree:.1%}", f"{p:.3f}"])
    note = (
        "only A, only B: examples that one alone gets right; B - A: points of accuracy; agree: the same guess; "
        "p: McNemar's exact test, of each row by itself: of many slices one in twenty has a p below 0.05 by chance"
    )
    head = ["slice", "examples", "only A", "only B", "B - A", "agree", "p"]
    return [
        Section("Right and wrong", note, Table(head, rows)),
        _alone("A right, B wrong", first, second, a & ~b, text, most),
        _alone("B right, A wrong", first, second, b & ~a, text, most),
    ]


def _alone(
    title: str, first: Answers, second: Answers, which: np.ndarray, text: Mapping[str, str], most: int
) -> Section:
    """Those on which the one that errs is the surest, before others."""
    sure = np.where(first.right, second.probability, first.probability)
    found = np.flatnonzero(which)
    order = found[np.argsort(-sure[found], kind="stable")][:most]
    examples = []
    for i in order.tolist():
        guesses = f"A {first.guess[i]} ({first.probability[i]:.2f}), B {second.guess[i]} ({second.probability[i]:.2f})"
        examples.append(Shown(f"{first.gold[i]}: {guesses}  {first.where[i]}", text[first.where[i]]))
    return Section(title, f"{len(found):,} examples", examples=examples)
