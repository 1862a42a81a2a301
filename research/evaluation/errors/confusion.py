"""Which classes are taken for which."""

from collections.abc import Mapping

import numpy as np

from research.evaluation.errors.answers import Classified, Judged
from research.evaluation.errors.pictures import draw_matrix
from research.evaluation.errors.sections import Section, Shown, Table
from research.evaluation.errors.slices import interval

PAIRS = 10  # confused pairs that are listed
ROOM = 56  # columns of a terminal that the figures of a matrix may take


def confusion_sections(answers: Classified, text: Mapping[str, str], most: int) -> list[Section]:
    """Precision, recall and F1 of each class, the matrix, the most confused pairs, and the surest errors."""
    return [_classes(answers), _matrix(answers), _pairs(answers, text, most), surest_errors(answers, text, most)]


def confused_pairs(matrix: np.ndarray) -> list[tuple[int, int, int]]:
    """``(gold, guess, count)`` of the errors in a confusion matrix (C, C), the most frequent first."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    return [(int(i), int(j), int(wrong[i, j])) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]


def shown(answers: Judged, i: int, text: Mapping[str, str]) -> Shown:
    """An example with its gold answer and the guess."""
    gold, guess = answers.told(i)
    return Shown(f"{gold} → {guess} ({answers.sure[i]:.2f})  {answers.where[i]}", text[answers.where[i]])


def surest_errors(answers: Judged, text: Mapping[str, str], most: int) -> Section:
    """Where the gold answer may be wrong, or the text misleads."""
    wrong = np.flatnonzero(~answers.right)
    order = wrong[np.argsort(-answers.sure[wrong], kind="stable")][:most]
    note = "errors by the probability of the guess: where the label may be wrong, or the text misleads"
    return Section("Surest errors", note, examples=[shown(answers, int(i), text) for i in order])


def matrix_of(answers: Classified) -> np.ndarray:
    """(C, C) counts: gold labels down, guesses across."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(answers.gold, answers.guess, labels=list(answers.labels))


def _classes(answers: Classified) -> Section:
    from sklearn.metrics import precision_recall_fscore_support

    labels = list(answers.labels)
    scores = precision_recall_fscore_support(answers.gold, answers.guess, labels=labels, zero_division=0)
    rows = [
        [name, f"{n:,}", *(f"{score:.3f}" for score in each)]
        for name, *each, n in zip(labels, *scores, strict=True)
    ]  # fmt: skip
    means = [f"{np.mean(column):.3f}" for column in scores[:3]]
    rows.append(["mean of the classes", f"{len(answers.gold):,}", *means])
    right = int(answers.right.sum())
    low, high = interval(right, len(answers.gold))
    note = f"accuracy {right / len(answers.gold):.3f}, 95% interval {low:.3f} to {high:.3f} (Wilson)"
    return Section("Classes", note, Table(["class", "examples", "precision", "recall", "F1"], rows))


def _matrix(answers: Classified) -> Section:
    matrix = matrix_of(answers)
    head = ["gold down, guess across", *(str(i + 1) for i in range(len(matrix)))]
    rows = [
        [f"{i + 1} {label}", *(str(n) if n else "." for n in line)]
        for i, (label, line) in enumerate(zip(answers.labels, matrix, strict=True))
    ]
    picture = draw_matrix(matrix, answers.labels)
    wide = len(matrix) * (2 + len(str(matrix.max()))) > ROOM
    return Section("Confusion matrix", "", Table(head, rows), picture=picture, wide=wide)


def _pairs(answers: Classified, text: Mapping[str, str], most: int) -> Section:
    matrix = matrix_of(answers)
    pairs = confused_pairs(matrix)[:PAIRS]
    rows, examples = [], []
    for i, j, count in pairs:
        gold, guess = answers.labels[i], answers.labels[j]
        rows.append([f"{gold} → {guess}", str(count), f"{count / matrix[i].sum():.1%}"])
        mine = np.flatnonzero((answers.gold == gold) & (answers.guess == guess))
        surest = mine[np.argsort(-answers.probability[mine], kind="stable")]
        examples += [shown(answers, int(e), text) for e in surest[: max(most // PAIRS, 1)]]
    note = "gold → guess; the share is of the examples of the gold class" if pairs else "no example is wrong"
    return Section("Confused pairs", note, Table(["pair", "errors", "share"], rows) if rows else None, examples)
