"""Where a recommender puts the film that a user saw next, among all films that they had not seen."""

from collections.abc import Sequence

import numpy as np

TOP = 10


def ranks(scores: np.ndarray, past: Sequence[np.ndarray], target: np.ndarray) -> np.ndarray:
    """The rank (U,) float64, from 1, of each user's target among all films but those of their past.

    Films of the same score share their mean rank, so that no order of the catalogue helps.

    Args:
        scores: (U, F); the higher, the sooner recommended.
        past: for each user the films (n,) that are not recommended again.
        target: (U,) films.
    """
    scores = np.array(scores, dtype=np.float64)
    for row, films in zip(scores, past, strict=True):
        row[films] = -np.inf
    own = scores[np.arange(len(scores)), target][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def hits(ranks: np.ndarray) -> np.ndarray:
    """HR@10 of each user: 1 where the target is among the first ten, else 0."""
    return (ranks <= TOP).astype(np.float64)


def gains(ranks: np.ndarray) -> np.ndarray:
    """NDCG@10 of each user, who has one relevant film: ``1 / log2(1 + rank)`` in the first ten, else 0."""
    return np.where(ranks <= TOP, 1 / np.log2(1 + ranks), 0.0)
