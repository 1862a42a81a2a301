"""A vector a user beside the shared encoder: what is theirs alone, at so many bytes a user."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from research.applications.recommendation.movielens import MovieLens, Split
from research.applications.recommendation.ranking import gains, ranks
from research.applications.recommendation.scoring import film_vectors, interests
from research.applications.recommendation.student import FilmStudent

BYTES = 2  # of a number in half precision
SPLITS: tuple[Split, ...] = ("validation", "test")
SIZES = (4, 16, 64)
WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0)  # of the personal scores; the last is the vector alone
CONFIDENCES, RIDGES = (4.0, 40.0), (1.0, 100.0)


def principal(vectors: Tensor, size: int) -> Tensor:
    """Film vectors (F, H), centred, in the ``size`` directions (F, size) that hold most of them, mean square 1."""
    centred = vectors - vectors.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # in rising order
    kept = centred @ directions[:, -size:]
    return kept / kept.square().mean().sqrt()


def user_vectors(features: Tensor, seen: Sequence[Tensor], confidence: float, ridge: float) -> Tensor:
    """(U, K) half precision: for each user the ridge regression of what they saw on the films' features (F, K).

    ``p = argmin sum_i c_i (s_i - p . x_i)^2 + ridge |p|^2`` with s_i = 1 and c_i = ``confidence`` for films that were
    seen, else 0 and 1 (Hu, Koren & Volinsky 2008, with the films given). It needs no other user, so a new one costs one
    solution of K equations, and no training.
    """
    all_films = features.T @ features + ridge * torch.eye(features.shape[1])
    vectors = []
    for films in seen:
        theirs = features[films]
        gram = all_films + (confidence - 1) * theirs.T @ theirs
        vectors.append(torch.linalg.solve(gram, confidence * theirs.sum(0)))
    return torch.stack(vectors).half()


def blended(shared: Tensor, personal: Tensor, weight: float) -> Tensor:
    """``(1 - w) z(shared) + w z(personal)`` of scores (U, F), where z gives each user's mean 0 and deviation 1."""
    return (1 - weight) * _standardised(shared) + weight * _standardised(personal)


def _standardised(scores: Tensor) -> Tensor:
    return (scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True).clamp_min(1e-9)


@dataclass
class Blend:
    """A vector of ``size`` numbers a user, at the weight, confidence and ridge that are best on the validation films.

    ``ranks`` (S, U) of the test films by seed and user; size 0 is the shared encoder, weight 1 the vector alone.
    """

    size: int
    weight: float
    confidence: float
    ridge: float
    ranks: np.ndarray

    @property
    def bytes(self) -> int:
        """Of a user's vector."""
        return BYTES * self.size


def blends(data: MovieLens, students: Sequence[FilmStudent], history: int) -> list[Blend]:
    """For each size the best blend, and the vector alone, of students that differ by their seeds."""
    films = [film_vectors(student) for student in students]
    shared = {
        split: [interests(student, data.past(split), history) @ v.T for student, v in zip(students, films, strict=True)]
        for split in SPLITS
    }

    def ranked(split: Split, size: int, weights: Sequence[float], confidence: float, ridge: float) -> list[np.ndarray]:
        """(S, U) for each weight."""
        rows = []
        for vectors, scores in zip(films, shared[split], strict=True):
            features = principal(vectors, size)
            personal = user_vectors(features, list(map(torch.from_numpy, data.past(split))), confidence, ridge).float()
            mixed = (blended(scores, personal @ features.T, weight) for weight in weights)
            rows.append([ranks(each.numpy(), data.past(split), data.target(split)) for each in mixed])
        return list(np.stack(rows, 1))

    none = np.stack([ranks(s.numpy(), data.past("test"), data.target("test")) for s in shared["test"]])
    found = [Blend(0, 0.0, 0.0, 0.0, none)]
    for size in (size for size in SIZES if size <= students[0].width):
        tried = {
            (weight, confidence, ridge): float(gains(each).mean())
            for confidence, ridge in itertools.product(CONFIDENCES, RIDGES)
            for weight, each in zip(WEIGHTS, ranked("validation", size, WEIGHTS, confidence, ridge), strict=True)
        }
        for allowed in (WEIGHTS[:-1], WEIGHTS[-1:]):
            best = max((setting for setting in tried if setting[0] in allowed), key=tried.__getitem__)
            found.append(Blend(size, *best, ranked("test", size, best[:1], *best[1:])[0]))
    return found
