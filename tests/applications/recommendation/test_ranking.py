"""Ranks and figures against torchmetrics, scikit-learn and a case worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import retrieval_hit_rate

from research.applications.recommendation.ranking import gains, hits, ranks


def test_the_figures_are_those_of_torchmetrics_and_scikit_learn():
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(40, 60)), rng.integers(60, size=40)
    past = [np.setdiff1d(rng.choice(60, 20, replace=False), [t]) for t in target]
    found = ranks(scores, past, target)
    assert 0 < hits(found).mean() < 1
    for user in range(40):
        left = np.setdiff1d(np.arange(60), past[user])
        relevant = left == target[user]
        hit = retrieval_hit_rate(torch.tensor(scores[user, left]), torch.tensor(relevant), top_k=10)
        assert hits(found)[user] == float(hit)
        assert gains(found)[user] == pytest.approx(ndcg_score([relevant], [scores[user, left]], k=10))


def test_films_of_the_past_are_not_in_the_way_and_equal_scores_share_their_ranks():
    scores = np.array([[9.0, 5.0, 5.0, 5.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    found = ranks(scores, [np.array([0]), np.array([1, 2])], np.array([1, 4]))
    assert found.tolist() == [2.0, 2.0]  # among 1, 2, 3 of equal score; among 0, 3, 4
