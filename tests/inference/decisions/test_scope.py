"""Detectors against scipy, torch, scikit-learn and cases by hand; the area under the curve of risk."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from research.inference.decisions.risk import aurc, coverage_at, coverage_risk
from research.inference.decisions.scope import Energy, Mahalanobis, MaxProbability, auroc, keeping, parting

NOTHING = np.zeros((0, 0))


def test_mahalanobis_by_hand() -> None:
    detector = Mahalanobis([[0, 0], [4, 0]], [[1, 0], [0, 0.25]])  # variances 1 and 4
    scores = detector(NOTHING, np.array([[0.0, 0.0], [3.0, 2.0], [0.0, -4.0], [2.0, 0.0]]))
    np.testing.assert_allclose(scores, [0, -2, -4, -4])


def test_mahalanobis_is_scipys_to_the_nearest_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    embeddings = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 3 * labels[:, None]
    means = [embeddings[labels == c].mean(0) for c in range(3)]
    within = np.stack([h - means[c] for h, c in zip(embeddings, labels, strict=True)])
    covariance, _ = ledoit_wolf(within, assume_centered=True)
    inverse = np.linalg.inv(covariance)
    texts = rng.normal(size=(7, 5)) * 4
    expected = [-min(mahalanobis(text, mean, inverse) ** 2 for mean in means) for text in texts]
    np.testing.assert_allclose(Mahalanobis.fit(embeddings, labels)(NOTHING, texts), expected)


def test_energy_and_the_largest_probability_are_torchs() -> None:
    logits = np.random.default_rng(0).normal(size=(9, 4)) * 30
    given = torch.from_numpy(logits)
    np.testing.assert_allclose(Energy()(logits, NOTHING), given.logsumexp(-1))
    np.testing.assert_allclose(MaxProbability()(logits, NOTHING), given.softmax(-1).max(-1).values)


def test_the_line_keeps_the_share() -> None:
    inside = np.random.default_rng(0).normal(size=200)
    assert (inside >= keeping(inside, 0.95)).mean() == pytest.approx(0.95, abs=0.006)
    assert (inside >= keeping(inside, 0.95)).mean() >= 0.95


def test_no_line_parts_better() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, 80), rng.normal(-0.5, 1, 50)

    def gain(line: float) -> float:
        return float((inside >= line).mean() - (outside >= line).mean())

    assert gain(parting(inside, outside)) == pytest.approx(max(gain(x) for x in [*inside, *outside]))
    assert auroc(inside, outside) == pytest.approx((inside[:, None] > outside).mean())


def test_risk_by_coverage_by_hand() -> None:
    confidence, right = np.array([0.2, 0.9, 0.6, 0.8]), np.array([False, True, True, False])
    coverage, risk = coverage_risk(confidence, right)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 2 / 4])
    assert aurc(confidence, right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert coverage_at(0.4, confidence, right) == 0.75 and coverage_at(0.1, confidence, right) == 0.25
    assert coverage_at(0.1, confidence, ~right | True) == 1 and coverage_at(0.1, confidence, right & False) == 0
