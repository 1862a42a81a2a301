"""The loss-driven mixture against the formula in plain Python, however far ahead its turns are asked for."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from research.data.sampling import LossDriven
from research.errors import UserError

NAMES = ["wiki", "news", "intents"]
REFERENCE = {"wiki": 2.0, "news": 1.0, "intents": 0.5}


def loss_of(stream: str, step: int) -> float:
    """Falls from well above its reference, each stream at a speed of its own."""
    start, speed = {"wiki": (5.0, 200), "news": (2.0, 50), "intents": (0.4, 100)}[stream]
    return start * math.exp(-step / speed) + 0.3 * math.sin(step)


def connected(ahead: int = 1, names: list[str] = NAMES, **given: Any) -> LossDriven:
    sampling = LossDriven(**{"reference": REFERENCE, "every": 10, **given})
    sampling.connect(names, seed=5)
    sampling.begin(dict.fromkeys(names, 100), lambda: 1000, ahead)
    return sampling


def chosen(sampling: LossDriven, step: int) -> str:
    (name,) = [name for name in NAMES if sampling.turn(name, step) is not None]
    return name


def train(sampling: LossDriven, start: int, stop: int, ahead: int = 0) -> list[tuple[str, dict[str, float]]]:
    """What each step trained on, with the turns ``ahead`` of it asked for before it is observed."""
    steps = []
    for step in range(start, stop):
        for name in NAMES:
            sampling.turn(name, step + ahead)
        name = chosen(sampling, step)
        steps.append((name, sampling.probabilities(step)))
        sampling.observe(step, lambda step=step, name=name: loss_of(name, step))
    return steps


def test_a_case_by_hand() -> None:
    """rate = ln 2 and excesses of 1 and 0 double the first stream's weight in each block."""
    sampling = LossDriven({"a": 1.0, "b": 3.0}, every=20, rate=math.log(2), smoothing=0.1)
    sampling.connect(["a", "b"], 0)
    sampling.begin({"a": 1, "b": 1}, lambda: 100, 1)
    first = 0.9 * 2 / 3 + 0.05
    second = 0.9 * 2 * first / (2 * first + 1 - first) + 0.05
    for step in range(80):
        expected = 0.5 if step < 40 else first if step < 60 else second
        assert sampling.probabilities(step)["a"] == pytest.approx(expected), step
        loss = 2.0 if sampling.turn("a", step) is not None else 2.5  # 1 above, and half below, which counts as 0
        sampling.observe(step, lambda loss=loss: loss)


def test_equals_the_formula() -> None:
    """DoReMi's update by block, from the streams that the run drew."""
    steps = train(connected(rate=0.7, smoothing=0.2), 0, 300)
    shares, excess = [{n: 1 / 3 for n in NAMES}] * 2, dict.fromkeys(NAMES, 0.0)
    for block in range(30):
        for step in range(10 * block, 10 * block + 10):
            assert steps[step][1] == pytest.approx(shares[block]), step
        for name in NAMES:
            losses = [loss_of(n, 10 * block + i) for i, (n, _) in enumerate(steps[10 * block :][:10]) if n == name]
            if losses:
                excess[name] = max(sum(losses) / len(losses) - REFERENCE[name], 0.0)
        grown = {n: shares[-1][n] * math.exp(0.7 * excess[n]) for n in NAMES}
        shares = [*shares, {n: 0.8 * grown[n] / sum(grown.values()) + 0.2 / 3 for n in NAMES}]
    peak = max(p["wiki"] for _, p in steps)
    assert peak > 0.75, "the stream far above its reference is drawn most"


def test_reading_ahead_changes_nothing() -> None:
    assert train(connected(), 0, 300) == train(connected(10), 0, 300, ahead=10)


@pytest.mark.parametrize("stop", [3, 10, 19, 20, 137])
def test_goes_on_from_its_state(stop: int) -> None:
    whole = train(connected(), 0, 200, ahead=5)
    first = connected()
    steps = train(first, 0, stop, ahead=5)
    again = connected()
    again.load_state_dict(json.loads(json.dumps(first.state_dict(stop))))
    turns = [again.turn(name, stop) for name in NAMES]
    assert turns == [first.turn(name, stop) for name in NAMES]
    assert steps + train(again, stop, 200, ahead=5) == whole


def test_realised_steps_follow_the_moving_probabilities() -> None:
    steps = train(connected(every=25), 0, 5000)
    asked = np.sum([list(p.values()) for _, p in steps], axis=0)
    came = [sum(name == n for name, _ in steps) for n in NAMES]
    assert chisquare(came, asked).pvalue > 0.01


def test_without_references_a_stream_gains_while_it_is_forgotten() -> None:
    """A running start: the first block's losses are the references, and only wiki rises above its own."""
    sampling = connected(reference=None, every=20)
    for step in range(200):
        name = chosen(sampling, step)
        loss = {"wiki": 3.0 + step / 100, "news": 2.0 - step / 200, "intents": 1.0}[name]
        sampling.observe(step, lambda loss=loss: loss)
    probabilities = sampling.probabilities(200)
    assert probabilities["wiki"] > 0.7 and probabilities["news"] == pytest.approx(probabilities["intents"])


def test_a_huge_loss_is_no_overflow_and_starves_no_stream() -> None:
    sampling = connected(at_least={"news": 0.2})
    for step in range(100):
        sampling.observe(step, lambda: 1e6)
    probabilities = sampling.probabilities(100)
    assert sum(probabilities.values()) == pytest.approx(1) and min(probabilities.values()) > 0.02
    assert probabilities["news"] >= 0.2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"every": 0}, "every is 0; it must be at least 1"),
        ({"rate": 0.0}, "rate is 0.0; it must be above 0"),
        ({"smoothing": 1.0}, "smoothing is 1.0; it must be between 0 and 1"),
        ({"reference": {**REFERENCE, "wiki": float("nan")}}, "reference.wiki is nan; it must be at least 0"),
        ({"reference": {"wiki": 1.0}}, "reference name ['wiki'], data.streams has ['intents', 'news', 'wiki']"),
        ({"probabilities": {"wiki": 1.0}}, "probabilities name ['wiki'], data.streams has"),
        ({"probabilities": {**REFERENCE, "wiki": 0.0}}, "probabilities.wiki is 0.0; it must be above 0"),
        ({"every": 4, "ahead": 5}, "every is 4, but the loaders read 5 steps ahead; set it to at least 5"),
    ],
)
def test_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        connected(**given)
    assert str(error.value).startswith(f"data.mixture: {told}")
