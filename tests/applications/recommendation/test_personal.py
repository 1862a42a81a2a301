"""The personal vector against scikit-learn's ridge regression."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from research.applications.recommendation.personal import blended, principal, user_vectors


def test_a_users_vector_is_a_weighted_ridge_regression() -> None:
    torch.manual_seed(0)
    features, seen = torch.randn(30, 4), torch.tensor([3, 7, 8])
    target, weight = np.zeros(30), np.ones(30)
    target[seen], weight[seen] = 1, 6
    ridge = Ridge(alpha=2.0, fit_intercept=False).fit(features.numpy(), target, sample_weight=weight)
    found = user_vectors(features, [seen], confidence=6.0, ridge=2.0)
    assert found.dtype == torch.float16 and found.shape == (1, 4)
    assert found[0].float().numpy() == pytest.approx(ridge.coef_, abs=1e-3)


def test_principal_directions_are_those_of_scikit_learn() -> None:
    vectors = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 5, 3, 1, 1, 1])
    mine, theirs = principal(vectors, 2).numpy()[:, ::-1], PCA(2).fit_transform(vectors.numpy())
    assert np.abs(mine) == pytest.approx(np.abs(theirs / np.sqrt(np.mean(theirs**2))), abs=1e-3)


def test_the_weight_moves_scores_from_shared_to_personal() -> None:
    shared, personal = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[300.0, 200.0, 100.0]])
    assert blended(shared, personal, 0.0).argmax() == 2 and blended(shared, personal, 1.0).argmax() == 0
    assert blended(shared, personal, 0.5).abs().max() < 1e-6
