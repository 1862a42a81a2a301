"""How well examples of one kind are answered: short and long ones, common and rare words, with and without negation."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from research.ablation.reporting.statistics import interval as mean_interval
from research.evaluation.errors.answers import Answers, Judged, Scored
from research.evaluation.errors.data import Texts
from research.evaluation.errors.sections import Section, Table

PARTS = 4
NEGATION = re.compile(
    r"\b(no|not|nor|never|none|nobody|nothing|nowhere|neither|cannot|without|hardly|barely|scarcely)\b|n['’]t\b",
    re.IGNORECASE,
)
"""English words that negate."""


def slices(where: Sequence[str], texts: Texts) -> dict[str, np.ndarray]:
    """Masks (N,) bool of the examples at these places, by name; those of one property part them.

    A property that they all share is left out.
    """
    length = np.array([texts.length[w] for w in where])
    rarity = np.array([texts.rarity[w] for w in where]).round(1)
    negates = np.array([NEGATION.search(texts.text[w]) is not None for w in where])
    parted = {
        **{f"{low} to {high} tokens": mask for low, high, mask in quantiles(length)},
        **{f"{low:.1f} to {high:.1f} bits a word": mask for low, high, mask in quantiles(rarity)},
        "an English negation": negates,
        "no English negation": ~negates,
    }
    return {name: mask for name, mask in parted.items() if 0 < mask.sum() < len(mask)}


def quantiles(values: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """Parts of about equal size as (least, greatest, mask); equal values (n,) are never parted."""
    edges = np.unique(np.quantile(values, np.arange(1, PARTS) / PARTS, method="inverted_cdf"))
    group = np.searchsorted(edges, values)
    return [(values[group == g].min(), values[group == g].max(), group == g) for g in np.unique(group)]


def interval(right: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    found = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def slices_section(answers: Answers, masks: Mapping[str, np.ndarray]) -> Section:
    """A row a slice: its size, the share of right answers or the mean of their figure, and its interval."""
    assert isinstance(answers, Judged | Scored)
    scores = answers.scores if isinstance(answers, Scored) else answers.right
    rows = [
        [name, f"{mask.sum():,}", *_estimate(scores[mask])]
        for name, mask in {"all": np.ones(len(scores), dtype=bool), **masks}.items()
    ]
    kind = "Student's" if isinstance(answers, Scored) else "Wilson's"
    note = (
        "quarters by length; quarters by the rarity of their words, the mean of -log2 of a word's share of the "
        f"training texts; and English negation words. The interval is {kind}, 95%."
    )
    return Section("Slices", note, Table(["slice", "examples", answers.figure, "interval"], rows))


def _estimate(scores: np.ndarray) -> list[str]:
    """The mean of scores (n,), or the share of those that are true, and its interval."""
    if scores.dtype == bool:
        low, high = interval(int(scores.sum()), len(scores))
        return [f"{scores.mean():.3f}", f"{low:.3f} to {high:.3f}"]
    of = mean_interval(scores)
    return [f"{of.mean:.4g}", "-" if of.low is None else f"{of.low:.4g} to {of.high:.4g}"]
