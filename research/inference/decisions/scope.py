"""Whether a text is of any of the classes: scores that are higher the more it is, and where to draw the line."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from research.inference.decisions.calibration import softmax


class Detector(Protocol):
    """Scores (N,), higher for what is in scope, of logits (N, C) and embeddings (N, H)."""

    def __call__(self, logits: np.ndarray, embeddings: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class MaxProbability:
    """The softmax of the likeliest class (Hendrycks & Gimpel 2017, arXiv:1610.02136)."""

    def __call__(self, logits: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        return softmax(logits).max(1)


@dataclass(frozen=True)
class Energy:
    """log sum_c exp logit_c, the negative energy at temperature 1 (Liu et al. 2020, arXiv:2010.03759)."""

    def __call__(self, logits: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        from scipy.special import logsumexp  # type: ignore[import-untyped]

        return logsumexp(np.asarray(logits, np.float64), axis=1)


@dataclass(frozen=True)
class Mahalanobis:
    """-min_c (h - m_c)' P (h - m_c), the nearest class's mean under one covariance (Lee et al. 2018, arXiv:1807.03888).

    Args:
        means: (C, H), of the classes' embeddings.
        precision: (H, H), the inverse of the covariance that the classes share.
    """

    means: np.ndarray
    precision: np.ndarray

    def __post_init__(self) -> None:
        for name in ("means", "precision"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    @classmethod
    def fit(cls, embeddings: np.ndarray, labels: np.ndarray) -> "Mahalanobis":
        """From training examples (N, H), some of each class; the covariance is shrunk, since N may be less than H.

        The shrinkage is that of Ledoit & Wolf (2004).
        """
        from sklearn.covariance import LedoitWolf

        embeddings = np.asarray(embeddings, np.float64)
        means = np.stack([embeddings[labels == c].mean(0) for c in range(labels.max() + 1)])
        within = LedoitWolf(assume_centered=True).fit(embeddings - means[labels])
        return cls(means, within.precision_)

    def __call__(self, logits: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        embeddings = np.asarray(embeddings, np.float64)
        reached = self.means @ self.precision  # (C, H)
        lengths = ((embeddings @ self.precision) * embeddings).sum(1, keepdims=True)
        distances = lengths - 2 * embeddings @ reached.T + (reached * self.means).sum(1)
        return -distances.min(1)


DETECTORS = {"max_probability": MaxProbability, "energy": Energy, "mahalanobis": Mahalanobis}


@dataclass(frozen=True)
class Scope:
    """In scope is what scores at least so much.

    Args:
        detector: gives the scores.
        least: where the line is.
    """

    detector: Detector
    least: float


def keeping(inside: np.ndarray, share: float) -> float:
    """The highest line that keeps at least a share of the scores (N,) of texts in scope."""
    return float(np.quantile(inside, 1 - share, method="lower"))


def parting(inside: np.ndarray, outside: np.ndarray) -> float:
    """The line that best parts scores (N,) in scope from others (M,): the largest tpr - fpr (Youden 1950)."""
    from sklearn.metrics import roc_curve

    fpr, tpr, lines = roc_curve(*truth(inside, outside), drop_intermediate=False)
    return float(lines[1:][(tpr - fpr)[1:].argmax()])  # the first line, infinity, keeps nothing


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """How often a text in scope scores higher than one that is not, in [0, 1]."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*truth(inside, outside)))


def truth(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores, in this order, of a test that should score what is inside higher."""
    return np.repeat([1, 0], [len(inside), len(outside)]), np.concatenate([inside, outside])
