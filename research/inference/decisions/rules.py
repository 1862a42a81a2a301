"""From probabilities to a decision: a class, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from research.inference.decisions.risk import coverage_risk

NONE = -1  # instead of a class


class Rule(Protocol):
    """The class of each row of probabilities (N, C), or -1 to abstain: (N,) int."""

    def __call__(self, probabilities: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Confidence:
    """The likeliest class where its probability is at least so much, else none (Chow 1970).

    Args:
        least: in [0, 1]; 0 never abstains, and 1 or more nearly always.
    """

    least: float = 0.0

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, risk: float) -> "Confidence":
        """As many answers as possible of which at most a share ``risk`` is wrong, on labels (N,)."""
        sure = probabilities.max(1)
        _, risks = coverage_risk(sure, probabilities.argmax(1) == labels)
        ordered = np.sort(sure)[::-1]
        last = np.append(ordered[1:] < ordered[:-1], True)  # a threshold cannot part equal ones
        within = np.flatnonzero((risks <= risk) & last)
        return cls(float(ordered[within[-1]]) if len(within) else float(np.nextafter(ordered[0], 2.0)))

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        return np.where(probabilities.max(1) >= self.least, probabilities.argmax(1), NONE)


@dataclass(frozen=True)
class Thresholds:
    """argmax_c p_c / t_c: of two classes, the second where its probability is above t_2 = 1 - t_1.

    Args:
        values: t (C,), above 0.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.float64))
        if not (self.values > 0).all():
            raise ValueError("a threshold is not above 0")

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, rounds: int = 5) -> "Thresholds":
        """Of the largest macro F1 on labels (N,), one class after the other until nothing gains; they sum to 1."""
        values = np.ones(probabilities.shape[1])
        for _ in range(rounds):
            before = values.copy()
            for c in range(len(values)):
                values[c] = best_threshold(probabilities / values, labels, c) * values[c]
            if (values == before).all():
                break
        return cls(values / values.sum())

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities / self.values).argmax(1)


def best_threshold(scores: np.ndarray, labels: np.ndarray, c: int) -> float:
    """The t that gives argmax of scores (N, C) the largest macro F1, column c divided by it; 1 unless another gains."""
    count, classes = scores.shape
    others = scores.copy()
    others[:, c] = -np.inf
    second = others.argmax(1)
    ratio = scores[:, c] / np.maximum(others.max(1), 1e-300)  # c is said where it is above t
    order = np.argsort(-ratio, kind="stable")
    ratio, second, labels = ratio[order], second[order], labels[order]
    moved, hit = np.zeros((2, count + 1, classes))  # row n: the first n have moved from their second class to c
    rows = np.arange(1, count + 1)
    moved[rows, second] -= 1
    moved[1:, c] += 1
    hit[rows, second] -= second == labels
    hit[1:, c] += labels == c
    said = np.bincount(second, minlength=classes) + moved.cumsum(0)
    right = np.bincount(second[second == labels], minlength=classes) + hit.cumsum(0)
    f1 = (2 * right / np.maximum(said + np.bincount(labels, minlength=classes), 1)).mean(1)
    borders = np.concatenate([[2 * ratio[0] + 1], (ratio[1:] + ratio[:-1]) / 2, [ratio[-1] / 2]])
    f1[1:-1][ratio[1:] == ratio[:-1]] = -1  # no threshold parts them
    f1[borders <= 0] = -1
    best, now = int(f1.argmax()), int((ratio > 1).sum())
    return float(borders[best]) if f1[best] > f1[now] + 1e-12 else 1.0


@dataclass(frozen=True)
class Costs:
    """The decision of the least expected cost, argmin_d sum_c p_c cost(c, d) (Elkan 2001); probabilities must be true.

    Args:
        matrix: (C, C), the cost of saying the class of a column where that of the row is right.
        abstain: the cost of saying nothing; none says always something.
    """

    matrix: np.ndarray
    abstain: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", np.asarray(self.matrix, np.float64))

    @classmethod
    def described(cls, given: Mapping[str, Any], labels: tuple[str, ...]) -> "Costs":
        """From ``{"wrong": 1, "abstain": 0.3, "of": {RIGHT: {SAID: 5}}}``; ``wrong`` is of what ``of`` does not name.

        Raises:
            ValueError: naming what is no cost or no label.
        """
        if unknown := set(given) - {"wrong", "abstain", "of"}:
            raise ValueError(f"no key {sorted(unknown)[0]}; there are wrong, abstain and of")
        matrix = np.full((len(labels), len(labels)), cost(given.get("wrong", 1.0), "wrong"))
        np.fill_diagonal(matrix, 0.0)
        for right, row in given.get("of", {}).items():
            for said, value in row.items():
                for label in (right, said):
                    if label not in labels:
                        raise ValueError(f"of: no label '{label}'; there are {', '.join(labels)}")
                matrix[labels.index(right), labels.index(said)] = cost(value, f"of.{right}.{said}")
        abstain = given.get("abstain")
        return cls(matrix, None if abstain is None else cost(abstain, "abstain"))

    def expected(self, probabilities: np.ndarray) -> np.ndarray:
        """(N, C), and one more column where abstaining has a cost."""
        costs = probabilities @ self.matrix
        return costs if self.abstain is None else np.column_stack([costs, np.full(len(costs), self.abstain)])

    def paid(self, labels: np.ndarray, choices: np.ndarray) -> float:
        """The mean cost of choices (N,), -1 for none, where labels (N,) are right."""
        costs = np.where(choices == NONE, self.abstain or 0.0, self.matrix[labels, choices])
        return float(costs.mean())

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        chosen = self.expected(probabilities).argmin(1)
        return np.where(chosen == len(self.matrix), NONE, chosen)


def cost(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
        raise ValueError(f"{key} is {value!r}; a cost is a number of at least 0")
    return float(value)
