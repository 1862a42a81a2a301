"""Baselines on histories whose answer can be worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from research.applications.recommendation.baselines import (
    Factorisation,
    ItemNeighbours,
    Popularity,
    TextNeighbours,
    matrix,
)
from research.applications.recommendation.sasrec import Network, SASRec

PAST = [np.array(films) for films in ([0, 1, 2], [0, 1], [3, 4], [3, 4, 0])]


def test_popularity_counts_users() -> None:
    model = Popularity()
    model.fit(PAST, 6)
    assert model.scores(PAST[:1]).tolist() == [[3, 2, 1, 2, 2, 0]]


def test_neighbours_add_up_the_cosines_of_scikit_learn() -> None:
    model = ItemNeighbours(neighbours=6, recent=2, weights="cosine")
    model.fit(PAST, 6)
    cosines = cosine_similarity(matrix(PAST, 6).toarray().T)
    assert model.scores(PAST) == pytest.approx(np.stack([cosines[films[-2:]].sum(0) for films in PAST]), abs=1e-6)


def test_factors_of_a_past_are_the_regression_on_the_films_factors() -> None:
    """(Y'Y + a sum y y' + r I)^-1 (1 + a) sum y, where a film that was seen counts a more (implicit's convention)."""
    model = Factorisation(factors=3, regularisation=0.1, confidence=4.0, seed=0)
    model.fit(PAST, 6)
    films = model.model.item_factors.astype(np.float64)
    for past, row in zip(PAST, model.scores(PAST), strict=True):
        seen = films[past]
        gram = films.T @ films + 3.0 * seen.T @ seen + 0.1 * np.eye(3)
        user = np.linalg.solve(gram, 4.0 * seen.sum(0))
        assert row == pytest.approx(films @ user, abs=1e-4)


def test_text_neighbours_prefer_what_lies_in_the_direction_of_the_last_films() -> None:
    model = TextNeighbours(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]), recent=1)
    model.fit([], 4)
    scores = model.scores([np.array([0, 2]), np.array([2, 0])])
    assert np.sort(scores.argsort(1)[:, -2:]).tolist() == [[2, 3], [0, 1]]


def test_sasrec_reads_no_later_film_and_no_padding() -> None:
    torch.manual_seed(0)
    network = Network(films=9, width=8, layers=2, length=6, dropout=0.5).eval()
    history = torch.tensor([[1, 2, 3, 4, 5, 6]])
    states = network(history)
    changed = network(torch.tensor([[1, 2, 3, 4, 8, 6]]))
    torch.testing.assert_close(states[:, :4], changed[:, :4])
    assert not torch.allclose(states[:, 4:], changed[:, 4:])
    padded = network(torch.tensor([[9, 9, 3, 4, 5, 6]]))
    torch.testing.assert_close(padded[:, 2:], network(history[:, 2:]))


def test_sasrec_learns_an_order() -> None:
    """Films follow each other in a circle of twelve: the next one cannot be told by how often films come."""
    training = [np.arange(start, start + 10) % 12 for start in range(12)]
    later_is_better = itertools.count()
    model = SASRec(16, 1, 0.0, lambda _: next(later_is_better), length=8, negatives=12, lr=1e-2, epochs=60)
    model.fit(training, 12)
    assert (model.scores(training).argmax(1) == [(films[-1] + 1) % 12 for films in training]).mean() > 0.9


def test_sasrec_trains_on_each_film_but_the_first_once() -> None:
    model = SASRec(4, 1, 0.0, judge=lambda model: 0.0, length=3)
    model.catalogue = 20
    windows = model._windows([np.arange(8), np.arange(2)]).numpy()
    following = windows[:, 1:][(windows[:, :-1] != 20) & (windows[:, 1:] != 20)]
    assert sorted(following) == sorted([*range(1, 8), 1])
