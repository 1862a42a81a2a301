"""All recommenders on one split: settings by the validation films, figures by the test films."""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from research.applications.recommendation import baselines
from research.applications.recommendation.baselines import Recommender
from research.applications.recommendation.hybrid import Fitted, encoder, fitted
from research.applications.recommendation.movielens import MovieLens, Split, read
from research.applications.recommendation.personal import Blend, blends
from research.applications.recommendation.ranking import gains, ranks
from research.applications.recommendation.ratings import errors
from research.applications.recommendation.sasrec import SASRec
from research.applications.recommendation.scoring import film_vectors, interests
from research.applications.recommendation.sources import NextFilms
from research.applications.recommendation.student import text_embeddings
from research.data.cache import key
from research.files import write_whole

Grid = dict[str, list[Any]]  # by setting the values to try

COLD = 5  # a film with fewer training users is cold
NEIGHBOURS: Grid = {"neighbours": [20, 100], "recent": [3, 5, 10], "weights": ["cosine", "bm25"]}
FACTORS: Grid = {"factors": [32, 64], "regularisation": [0.1], "confidence": [4.0, 16.0]}
SASREC: Grid = {"width": [64], "layers": [2], "dropout": [0.2, 0.5]}
HYBRID: list[list[str]] = [[], ["--model.student.init_args.dropout", "0.4"]]
ABLATIONS = {
    "hybrid, films by their own vectors alone": ["--model.student.init_args.encoder", "null"],
    "hybrid, the next film alone": ["--without", "[masked,rating]"],
}


@dataclass
class Entry:
    """One recommender: NDCG@10 on the validation films of each setting that was tried, and what the best does.

    ``ranks`` (S, U) are those of the test films by seed and user; one row where no seed matters.
    """

    tried: dict[str, float]
    ranks: np.ndarray
    seconds: float

    @property
    def chosen(self) -> str:
        return max(self.tried, key=self.tried.__getitem__)


@dataclass
class Comparison:
    """``counts`` (U,) are the training users of each test film; ``ratings`` root mean squared errors by seed."""

    data: MovieLens
    seeds: list[int]
    baselines: dict[str, Entry]
    hybrids: dict[str, Entry]
    blends: list[Blend] = field(default_factory=list)
    ratings: dict[str, list[float]] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        return self.data.popularity()[self.data.target("test")]


def compare(folder: Path, seeds: Sequence[int], runs: Path, settings: Sequence[str]) -> Comparison:
    """Choose, train and measure everything; ``settings`` are given to each fit.

    Raises:
        UserError: for data that cannot be read, or a fit that fails.
    """
    data = read(folder)
    found = Comparison(data, list(seeds), _baselines(folder, seeds, runs), {})

    def fit(seed: int, more: Sequence[str]) -> Fitted:
        return fitted(folder, runs, seed, [*settings, *more])

    tried = {" ".join(more) or "as in config.yaml": more for more in HYBRID}
    first = {name: fit(seeds[0], more) for name, more in tried.items()}
    judged = {name: judge(data, _scores(run, data, "validation")) for name, run in first.items()}
    best = max(judged, key=judged.__getitem__)
    models = [first[best], *(fit(seed, tried[best]) for seed in seeds[1:])]
    found.hybrids["hybrid"] = _entry(judged, models, data)
    for name, more in ABLATIONS.items():
        ablated = [fit(seed, [*tried[best], *more]) for seed in seeds]
        tuned = judge(data, _scores(ablated[0], data, "validation"))
        found.hybrids[name] = _entry({best: tuned}, ablated, data)
    found.blends = blends(data, [run.student for run in models], models[0].history)
    found.ratings = errors(data, models)
    return found


def judge(data: MovieLens, scores: np.ndarray) -> float:
    """NDCG@10 on the validation films."""
    return float(gains(ranks(scores, data.past("validation"), data.target("validation"))).mean())


def _baselines(folder: Path, seeds: Sequence[int], runs: Path) -> dict[str, Entry]:
    data = read(folder)

    def sasrec(seed: int, **settings: Any) -> SASRec:
        return SASRec(seed=seed, judge=lambda model: judge(data, model.scores(data.past("validation"))), **settings)

    told = text_embeddings(encoder(), data.texts).numpy()
    made: dict[str, tuple[Callable[..., Recommender], Grid, bool]] = {
        "popularity": (lambda seed: baselines.Popularity(), {}, False),
        "texts alone (frozen encoder)": (
            lambda seed, recent: baselines.TextNeighbours(told, recent), {"recent": [1, 3, 5, 10]}, False
        ),
        "item kNN": (lambda seed, **settings: baselines.ItemNeighbours(**settings), NEIGHBOURS, False),
        "matrix factorisation": (lambda **settings: baselines.Factorisation(**settings), FACTORS, True),
        "SASRec": (sasrec, SASREC, True),
    }  # fmt: skip
    found, digest = {}, NextFilms(str(folder)).fingerprint()
    for name, (make, grid, drawn) in tqdm(made.items(), desc="baselines", disable=None):
        path = runs / f"{key(name, digest)[:8]}.json"
        found[name] = _kept(path, data, seeds if drawn else seeds[:1], make, grid)
    return found


def _kept(path: Path, data: MovieLens, seeds: Sequence[int], make: Callable[..., Recommender], grid: Grid) -> Entry:
    """Each setting of the grid with the first seed, the best with all; each once, kept in a file."""
    known = json.loads(path.read_text()) if path.exists() else {}

    def result(seed: int, settings: dict[str, Any]) -> dict[str, Any]:
        name = f"{json.dumps(settings)} {seed}"
        if name not in known:
            start, model = time.perf_counter(), make(seed=seed, **settings)
            model.fit(data.training(), len(data.names))
            seconds = time.perf_counter() - start
            figure = judge(data, model.scores(data.past("validation")))
            rank = ranks(model.scores(data.past("test")), data.past("test"), data.target("test"))
            known[name] = {"validation": figure, "test": rank.tolist(), "seconds": seconds}
            write_whole(path, json.dumps(known))
        return known[name]

    settings = list(combinations(grid))
    tried = [result(seeds[0], setting)["validation"] for setting in settings]
    best = settings[int(np.argmax(tried))]
    done = [result(seed, best) for seed in seeds]
    names = [", ".join(f"{name} {value}" for name, value in setting.items()) for setting in settings]
    seconds = float(np.mean([each["seconds"] for each in done]))
    return Entry(dict(zip(names, tried, strict=True)), np.array([each["test"] for each in done]), seconds)


def combinations(grid: Grid) -> Iterable[dict[str, Any]]:
    """Each combination of the values of a grid."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _entry(tried: dict[str, float], models: Sequence[Fitted], data: MovieLens) -> Entry:
    found = [ranks(_scores(run, data, "test"), data.past("test"), data.target("test")) for run in models]
    return Entry(tried, np.stack(found), float(np.mean([run.seconds for run in models])))


def _scores(run: Fitted, data: MovieLens, split: Split) -> np.ndarray:
    return (interests(run.student, data.past(split), run.history) @ film_vectors(run.student).T).numpy()
