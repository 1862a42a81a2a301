"""Recommenders to compare with: each learns from users' training films, then scores all films by a user's past."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

Past = Sequence[np.ndarray]


class Recommender(Protocol):
    """What all of them are."""

    def fit(self, training: Past, films: int) -> None:
        """Learn from each user's films, numbered below ``films``."""

    def scores(self, past: Past) -> np.ndarray:
        """(U, F), the higher the sooner recommended, by what each of the same users has seen."""


def matrix(past: Past, films: int, recent: int | None = None) -> csr_matrix:
    """(U, F) float32, 1 where a user has seen a film, among their ``recent`` ones."""
    rows = [films_of if recent is None else films_of[-recent:] for films_of in past]
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return csr_matrix((np.ones(len(users), np.float32), (users, np.concatenate(rows))), (len(rows), films))


@dataclass
class Popularity:
    """Films by how many users saw them."""

    def fit(self, training: Past, films: int) -> None:
        self.counts = np.asarray(matrix(training, films).sum(0)).ravel()

    def scores(self, past: Past) -> np.ndarray:
        return np.tile(self.counts, (len(past), 1))


@dataclass
class ItemNeighbours:
    """Item kNN (Sarwar et al. 2001): the similarity of a film to those of a user's past, added up.

    Args:
        neighbours: how many similar films each film keeps.
        recent: how many films of the past count, the latest; none is all.
        weights: ``cosine`` of plain or ``bm25`` weighted columns.
    """

    neighbours: int
    recent: int | None
    weights: str

    def fit(self, training: Past, films: int) -> None:
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

        model = {"cosine": CosineRecommender, "bm25": BM25Recommender}[self.weights](K=self.neighbours)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # implicit warns of what it does itself, a change of a matrix's format
            model.fit(matrix(training, films), show_progress=False)
        self.similarity = model.similarity

    def scores(self, past: Past) -> np.ndarray:
        seen = matrix(past, self.similarity.shape[0], self.recent)
        return np.asarray((seen @ self.similarity.T).todense())


@dataclass
class Factorisation:
    """Matrix factorisation of implicit feedback by alternating least squares (Hu, Koren & Volinsky 2008).

    Args:
        factors: width of the vectors.
        regularisation: of their squared lengths.
        confidence: alpha, the weight of a film that was seen; of one that was not it is 1.
        seed: of the vectors at first.
    """

    factors: int
    regularisation: float
    confidence: float
    seed: int = 0

    def fit(self, training: Past, films: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        self.model = AlternatingLeastSquares(
            self.factors, regularization=self.regularisation, alpha=self.confidence, iterations=20,
            num_threads=1, random_state=self.seed,
        )  # fmt: skip
        self.model.fit(matrix(training, films), show_progress=False)

    def scores(self, past: Past) -> np.ndarray:
        seen = matrix(past, len(self.model.item_factors))
        users = self.model.recalculate_user(np.arange(len(past)), seen)
        return np.asarray(users @ self.model.item_factors.T)


@dataclass
class TextNeighbours:
    """Films whose text is like those of a user's past, by a frozen encoder that has learned from no user.

    Args:
        texts: (F, T) embeddings of the films' texts.
        recent: how many films of the past count, the latest.
    """

    texts: np.ndarray
    recent: int

    def fit(self, training: Past, films: int) -> None:
        centred = self.texts - self.texts.mean(0)
        self.unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)

    def scores(self, past: Past) -> np.ndarray:
        return np.stack([self.unit[films[-self.recent :]].mean(0) for films in past]) @ self.unit.T
