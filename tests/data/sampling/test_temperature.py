"""Probabilities from sizes, against numbers worked out by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from research.data.sampling import ENDLESS, HOLE, Temperature, Turns
from research.errors import UserError
from research.ramp import Ramp

SIZES = {"wiki": 10_000, "news": 400, "intents": 100}


def connected(sizes: dict[str, int] = SIZES, total: int = 1000, seed: int = 0, **given: Any) -> Temperature:
    sampling = Temperature(**given)
    sampling.connect(list(sizes), seed)
    sampling.begin(sizes, lambda: total, 1)
    return sampling


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [10_000 / 10_500, 400 / 10_500, 100 / 10_500]),
        ({"temperature": 2.0}, [100 / 130, 20 / 130, 10 / 130]),
        ({"cap": 400}, [4 / 9, 4 / 9, 1 / 9]),
        ({"temperature": 2.0, "cap": 400}, [0.4, 0.4, 0.2]),
        ({"temperature": 1e9}, [1 / 3, 1 / 3, 1 / 3]),
        ({"temperature": 2.0, "at_least": {"intents": 0.4}}, [0.5, 0.1, 0.4]),
        ({"temperature": 2.0, "at_least": {"wiki": 0.4}}, [100 / 130, 20 / 130, 10 / 130]),
        ({"cap": 400, "at_least": {"intents": 0.2, "news": 0.42}}, [0.38, 0.42, 0.2]),
    ],
)
def test_probabilities(given: dict[str, Any], expected: list[float]) -> None:
    """In the last case news has enough until intents gets its share: 4/9 * 0.8 / (8/9) = 0.4 < 0.42."""
    probabilities = connected(**given).probabilities(0)
    assert list(probabilities) == list(SIZES)
    assert list(probabilities.values()) == pytest.approx(expected, rel=1e-6)


def test_mt5() -> None:
    """With 1/T = 0.3 a language of 100 times the text comes 100^0.3 = 3.981 times as often."""
    probabilities = connected({"en": 100_000, "sw": 1_000}, temperature=1 / 0.3).probabilities(7)
    assert probabilities["en"] / probabilities["sw"] == pytest.approx(3.98107, rel=1e-5)


def test_annealed_from_size_to_square_root() -> None:
    annealed = connected(temperature=Ramp(1.0, 2.0, "linear", begin=0.2, finish=0.6))
    for step, temperature in {0: 1.0, 200: 1.0, 400: 1.5, 600: 2.0, 999: 2.0, 5000: 2.0}.items():
        weights = np.array(list(SIZES.values())) ** (1 / temperature)
        assert list(annealed.probabilities(step).values()) == pytest.approx(weights / weights.sum()), step


@pytest.mark.parametrize("given", [{"temperature": 2.0}, {"temperature": Ramp(1.0, 5.0)}, {"at_least": {"news": 0.3}}])
def test_what_comes_is_what_was_asked(given: dict[str, Any]) -> None:
    """Chi-square of the realised steps, over the whole run and over its last quarter."""
    steps = 20_000
    sampling = connected(total=steps, seed=3, **given)
    asked = np.array([list(sampling.probabilities(step).values()) for step in range(steps)])
    came = np.array([[p != HOLE for p in itertools.islice(Turns(sampling, n, 1, lambda: 0), steps)] for n in SIZES]).T
    assert (came.sum(axis=1) == 1).all()
    for part in (slice(None), slice(3 * steps // 4, None)):
        assert chisquare(came[part].sum(axis=0), asked[part].sum(axis=0)).pvalue > 0.01
    uniform = np.full(len(SIZES), steps / len(SIZES))
    assert chisquare(came.sum(axis=0), uniform).pvalue < 1e-6, "the test could not fail"


def test_all_streams_end_a_pass_together_in_proportion_to_size() -> None:
    sampling = connected(seed=1)
    given = sampling.state_dict(sum(SIZES.values()))["given"]
    for count, size in zip(given, SIZES.values(), strict=True):
        assert abs(count - size) < 4 * np.sqrt(size)


def test_a_longer_run_repeats_no_batch_and_leaves_none_out() -> None:
    """The ramp follows the run's length, so what was given before must not be counted from the new ramp."""
    ramp = Ramp(1.0, 5.0)
    short, long = connected(total=500, temperature=ramp), connected(total=5000, temperature=ramp)
    turns = {name: [t for s in range(300) if (t := short.turn(name, s)) is not None] for name in SIZES}
    long.load_state_dict(short.state_dict(300))
    for name in SIZES:
        turns[name] += [t for s in range(300, 5000) if (t := long.turn(name, s)) is not None]
        assert turns[name] == list(range(len(turns[name])))
    assert sum(map(len, turns.values())) == 5000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0 and finite"),
        ({"temperature": float("nan")}, "temperature is nan; it must be above 0"),
        ({"temperature": Ramp(1.0, 0.0)}, "temperature.end is 0.0; it must be above 0 and finite"),
        ({"cap": 0}, "cap is 0; it must be at least 1"),
        ({"epoch": 0}, "epoch is 0; it must be at least 1"),
        ({"at_least": {"news": 1.0}}, "at_least.news is 1.0; it must be between 0 and 1"),
        ({"at_least": {"news": 0.5, "wiki": 0.5}}, "at_least adds up to 1; it must be below 1"),
        ({"at_least": {"web": 0.5}}, "at_least.web: no such stream; data.streams has wiki, news, intents"),
    ],
)
def test_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        connected(**given)
    assert str(error.value).startswith(f"data.mixture: {told}")


def test_a_streamed_corpus_needs_a_cap() -> None:
    sizes = {"dump": ENDLESS, "news": 400, "intents": 100}
    with pytest.raises(UserError, match="no known size to take a share by: set cap"):
        connected(sizes).probabilities(0)
    assert connected(sizes, cap=400).probabilities(0) == pytest.approx({"dump": 4 / 9, "news": 4 / 9, "intents": 1 / 9})
