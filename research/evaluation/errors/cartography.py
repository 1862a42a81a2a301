"""Which training examples are hard, ambiguous or mislabelled, by their training dynamics.

Confidence and variability are those of Swayamdipta et al. 2020 (arXiv:2009.10795), the margin is the area under it of
Pleiss et al. 2020 (arXiv:2001.10528); :class:`research.callbacks.TrainingDynamics` has measured them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from research.evaluation.errors.pictures import draw_map
from research.evaluation.errors.predictions import read_rows
from research.evaluation.errors.sections import Section, Shown

KEYS = ("where", "label", "guess", "seen", "confidence", "variability", "correctness", "margin")


def cartography_sections(path: Path, text: Mapping[str, str], most: int) -> list[Section]:
    """Doubtful labels, the hardest and the most ambiguous of the other examples, and their map."""
    rows = read_rows(path, *KEYS)
    doubtful = doubtful_labels(rows)
    trusted = [row for row in rows if row["margin"] >= 0]
    hard = sorted(trusted, key=lambda row: row["confidence"])
    torn = sorted(trusted, key=lambda row: -row["variability"])
    counted = f"{len(doubtful):,} of {len(rows):,} training examples have an area under the margin below 0"
    return [
        Section(
            "Labels to doubt",
            f"{counted}: over the whole of training another class had the higher logit. The lowest come first.",
            examples=list(_shown(doubtful[:most], text)),
            picture=draw_map(rows),
        ),
        Section(
            "Hardest training examples",
            "by the mean probability of their label, of those with a margin above 0",
            examples=list(_shown(hard[:most], text)),
        ),
        Section(
            "Most ambiguous training examples",
            "by the standard deviation of that probability, of those with a margin above 0",
            examples=list(_shown(torn[:most], text)),
        ),
    ]


def doubtful_labels(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with a margin below 0, the lowest first."""
    return sorted((row for row in rows if row["margin"] < 0), key=lambda row: row["margin"])


def _shown(rows: Iterable[Mapping[str, Any]], text: Mapping[str, str]) -> Iterable[Shown]:
    for row in rows:
        figures = f"margin {row['margin']:+.2f}, confidence {row['confidence']:.2f} ± {row['variability']:.2f}"
        told = row["label"] if row["guess"] == row["label"] else f"{row['label']}, but looks like {row['guess']}"
        yield Shown(f"{told}: {figures}, {row['seen']} times  {row['where']}", text[row["where"]])
