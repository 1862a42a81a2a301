"""Which labels are missed or given wrongly, where an example may have several."""

from collections.abc import Mapping

import numpy as np

from research.evaluation.errors.answers import Tagged
from research.evaluation.errors.confusion import PAIRS, confused_pairs, surest_errors
from research.evaluation.errors.sections import Section, Table


def multilabel_sections(answers: Tagged, text: Mapping[str, str], most: int) -> list[Section]:
    """Precision, recall and F1 of each label, the hardest first, labels given for others, and the surest errors."""
    return [_labels(answers), _instead(answers), surest_errors(answers, text, most)]


def _labels(answers: Tagged) -> Section:
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(answers.gold, answers.guess, zero_division=0)
    given = answers.guess.sum(0)
    rows = [
        [answers.labels[i], f"{support[i]:,}", f"{given[i]:,}", *(f"{of[i]:.3f}" for of in (precision, recall, f1))]
        for i in np.lexsort((-support, f1))
    ]
    means = [f"{of.mean():.3f}" for of in (precision, recall, f1)]
    rows.append(["mean of the labels", f"{support.mean():,.1f}", f"{given.mean():,.1f}", *means])
    note = (
        f"the hardest first. An example has {answers.gold.sum(1).mean():.2f} labels and is given "
        f"{answers.guess.sum(1).mean():.2f}; {answers.right.mean():.1%} are given all of theirs and no other"
    )
    return Section("Labels", note, Table(["label", "examples", "given to", "precision", "recall", "F1"], rows))


def _instead(answers: Tagged) -> Section:
    missed, extra = (answers.gold & ~answers.guess).astype(int), (answers.guess & ~answers.gold).astype(int)
    pairs = confused_pairs(missed.T @ extra)[:PAIRS]
    share = 1 / np.maximum(answers.gold.sum(0), 1)
    rows = [[f"{answers.labels[i]} → {answers.labels[j]}", str(n), f"{n * share[i]:.1%}"] for i, j, n in pairs]
    note = (
        "missed → given wrongly to the same example; the share is of the examples that have the missed label"
        if pairs
        else "no example misses a label and is given another"
    )
    return Section("Labels given for others", note, Table(["pair", "examples", "share"], rows) if rows else None)
