"""How well the rating of each user's last film is foretold, in stars."""

from collections.abc import Sequence

import numpy as np

from research.applications.recommendation.hybrid import Fitted
from research.applications.recommendation.movielens import MovieLens, Split
from research.applications.recommendation.sources import RatedFilms

STREAM = "rated_films"
DAMPING = (2.0, 5.0, 10.0, 20.0)  # ratings of the mean that a film's few are mixed with


def errors(data: MovieLens, models: Sequence[Fitted]) -> dict[str, list[float]]:
    """Root mean squared errors on the test films: of the hybrid by seed, and of two means.

    All add something to the user's mean until then: nothing; the damped mean by which training users rated the film
    above theirs, with the damping that is best on the validation films; or what the hybrid's rating head says.
    """
    by_film = {damping: _film_means(data, damping) for damping in DAMPING}
    damping = min(DAMPING, key=lambda d: _error(data, "validation", by_film[d][data.target("validation")]))
    return {
        "user's mean": [_error(data, "test", np.zeros(len(data.users)))],
        "user's mean and the film's": [_error(data, "test", by_film[damping][data.target("test")])],
        "hybrid": [_error(data, "test", _foretold(model)) for model in models],
    }


def _error(data: MovieLens, split: Split, above: np.ndarray) -> float:
    back = 1 if split == "test" else 2
    stars = np.array([mine[-back] for mine in data.ratings])
    means = np.array([mine[:-back].mean() for mine in data.ratings])
    return float(np.sqrt(np.mean((np.clip(means + above, 0.5, 5.0) - stars) ** 2)))


def _film_means(data: MovieLens, damping: float) -> np.ndarray:
    """(F,) stars above the user's mean, as if each film had ``damping`` ratings more, at that mean."""
    films = np.concatenate(data.training())
    above = np.concatenate([mine[:-2] - mine[:-2].mean() for mine in data.ratings])
    total, count = (np.bincount(films, weights, len(data.names)) for weights in (above, None))
    return total / (count + damping)


def _foretold(model: Fitted) -> np.ndarray:
    """(U,) stars above the user's mean."""
    source = RatedFilms(**model.streams[STREAM]["init_args"]["test"]["init_args"])
    asked = [{"text": record["text"], "text_pair": record["text_pair"]} for record in source]
    return np.array([answer["value"] for answer in model.model.predict(asked, STREAM)])
