"""What a run answered on its test splits, by the kind of its answers."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from research.evaluation.generation import chrf_of_each

Row = Mapping[str, Any]
"""A line of ``predictions.jsonl``."""


@dataclass
class Answers(ABC):
    """A run's answers on the N test examples of a task: ``where`` they stand (N), and what is ``gold`` there (N, ...).

    Every kind has its ``guess`` (N, ...) besides.
    """

    where: list[str]
    gold: np.ndarray
    guess: np.ndarray

    @classmethod
    @abstractmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """The answers in these lines."""

    def in_order_of(self, where: list[str]) -> Self | None:
        """The same answers in the order of these places, or none where they are of other examples."""
        place = {w: i for i, w in enumerate(self.where)}
        if place.keys() != set(where):
            return None
        order = [place[w] for w in where]
        arrays = {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), np.ndarray)}
        return replace(self, where=where, **{name: array[order] for name, array in arrays.items()})


@dataclass
class Judged(Answers):
    """Answers that are right or wrong, with a ``probability``; the C ``labels`` are in the order of the head."""

    probability: np.ndarray
    labels: tuple[str, ...]
    figure: ClassVar[str]
    """What the share of the right ones is called."""

    @property
    @abstractmethod
    def right(self) -> np.ndarray:
        """(N,) bool."""

    @property
    @abstractmethod
    def sure(self) -> np.ndarray:
        """(N,): the probability of the guess, or of that part of a wrong one which is the surest."""

    @abstractmethod
    def alike(self, other: Self) -> np.ndarray:
        """(N,) bool: whether another run guesses the same."""

    @abstractmethod
    def told(self, i: int) -> tuple[str, str]:
        """The gold answer of an example and the guess, in words."""


@dataclass
class Classified(Judged):
    """Of problem ``classify``: gold and guess (N,) are labels, the probability (N,) is the guess's."""

    figure = "accuracy"

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        return cls(
            [row["where"] for row in rows],
            np.array([row["gold"] for row in rows]),
            np.array([row["label"] for row in rows]),
            np.array([row["probabilities"][row["label"]] for row in rows]),
            tuple(rows[0]["probabilities"]),
        )

    @property
    def right(self) -> np.ndarray:
        return self.gold == self.guess

    @property
    def sure(self) -> np.ndarray:
        return self.probability

    def alike(self, other: Self) -> np.ndarray:
        return self.guess == other.guess

    def told(self, i: int) -> tuple[str, str]:
        return str(self.gold[i]), str(self.guess[i])


@dataclass
class Tagged(Judged):
    """Of problem ``multilabel``: gold and guess (N, C) bool, the probabilities (N, C) of the labels."""

    figure = "all labels right"

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        labels = tuple(rows[0]["probabilities"])
        return cls(
            [row["where"] for row in rows],
            np.array([[label in row["gold"] for label in labels] for row in rows]),
            np.array([[label in row["labels"] for label in labels] for row in rows]),
            np.array([[row["probabilities"][label] for label in labels] for row in rows]),
            labels,
        )

    @property
    def right(self) -> np.ndarray:
        return (self.gold == self.guess).all(1)

    @property
    def sure(self) -> np.ndarray:
        decided = np.where(self.guess, self.probability, 1 - self.probability)
        return np.where(self.right, decided.min(1), (decided * (self.gold != self.guess)).max(1))

    def alike(self, other: Self) -> np.ndarray:
        return (self.guess == other.guess).all(1)

    def told(self, i: int) -> tuple[str, str]:
        named = (", ".join(np.array(self.labels)[mask[i]]) or "none" for mask in (self.gold, self.guess))
        return next(named), next(named)


@dataclass
class Scored(Answers):
    """Answers that are better or worse by a figure; ``best`` is 1 where more of it is better, and -1 where less is."""

    figure: ClassVar[str]
    best: ClassVar[int]

    @property
    @abstractmethod
    def scores(self) -> np.ndarray:
        """The figure of each answer (N,)."""


@dataclass
class Measured(Scored):
    """Of problem ``regress``: gold and guess (N,) are numbers."""

    figure, best = "absolute error", -1

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        gold, guess = (np.array([row[name] for row in rows], dtype=float) for name in ("gold", "value"))
        return cls([row["where"] for row in rows], gold, guess)

    @property
    def scores(self) -> np.ndarray:
        return np.abs(self.guess - self.gold)


@dataclass
class Written(Scored):
    """Of problem ``generate``: guesses (N,) are texts, and gold (N,) are the texts, one or more, that are as good."""

    figure, best = "chrF", 1

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        gold, guess = np.empty((2, len(rows)), dtype=object)
        gold[:], guess[:] = [[row["gold"]] for row in rows], [row["text"] for row in rows]
        return cls([row["where"] for row in rows], gold, guess)

    def by_source(self, text: Mapping[str, str]) -> Self:
        """One answer a source: examples of the same text have been answered once, and may be in several ways."""
        first, gold = dict[str, int](), defaultdict[str, list[str]](list)
        for i, where in enumerate(self.where):
            first.setdefault(text[where], i)
            gold[text[where]] += self.gold[i]
        kept = [*first.values()]
        merged = np.empty(len(kept), dtype=object)
        merged[:] = [gold[source] for source in first]
        return replace(self, where=[self.where[i] for i in kept], gold=merged, guess=self.guess[kept])

    @cached_property
    def scores(self) -> np.ndarray:
        """chrF in [0, 100]."""
        return np.array(chrf_of_each(self.guess.tolist(), self.gold.tolist()))


KINDS: dict[str, type[Answers]] = {"label": Classified, "labels": Tagged, "value": Measured, "text": Written}
"""The kind of the answers, by the key that tells it in ``predictions.jsonl``."""
