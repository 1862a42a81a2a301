"""Turns that last several steps: those of the other mode, in its order, and resumed inside one."""

import itertools
from collections import Counter

import pytest

from research.data.sampling import Joint, LossDriven, Repeated, Sampled, Sampling, Turns
from research.errors import UserError

NAMES = ["wiki", "news", "intents"]
SIZES = {"wiki": 30, "news": 10, "intents": 5}


def connected(sampling: Sampling) -> Sampling:
    sampling.connect(NAMES, 3)
    sampling.begin(SIZES, lambda: 120, 1)
    return sampling


def sampled() -> Sampled:
    return Sampled({"wiki": 0.5, "news": 0.3, "intents": 0.2})


def stream_of(sampling: Sampling, step: int) -> str:
    (name,) = [name for name in NAMES if sampling.turn(name, step) is not None]
    return name


def test_each_turn_of_the_other_mode_lasts_so_many_steps() -> None:
    once, repeated = connected(sampled()), connected(Repeated(sampled(), 4))
    assert [stream_of(repeated, step) for step in range(80)] == [
        stream_of(once, turn) for turn in range(20) for _ in range(4)
    ]
    assert repeated.probabilities(7) == once.probabilities(1)


def test_streams_go_on_batch_by_batch() -> None:
    repeated, given = connected(Repeated(sampled(), 3)), Counter[str]()
    for step in range(90):
        name = stream_of(repeated, step)
        assert repeated.turn(name, step) == given[name]
        given[name] += 1
    wiki = itertools.islice(Turns(repeated, "wiki", 90, lambda: 0), 90)
    assert [p for p in wiki if p >= 0] == list(range(given["wiki"]))


def test_an_epoch_is_as_long_as_without() -> None:
    assert Repeated(sampled(), 5).epoch_steps(SIZES) == 5 * (6 + 2 + 1)
    assert Repeated(Joint(), 5).epoch_steps(SIZES) == 30


@pytest.mark.parametrize("step", [0, 5, 7, 23, 60])
def test_goes_on_inside_a_turn(step: int) -> None:
    def observed(sampling: Sampling, start: int, stop: int) -> list[tuple[str, int | None]]:
        seen = []
        for at in range(start, stop):
            name = stream_of(sampling, at)
            seen.append((name, sampling.turn(name, at)))
            sampling.observe(at, lambda at=at: 1.0 + at % 7)  # type: ignore[misc]
        return seen

    for make in (sampled, lambda: LossDriven(every=3)):
        whole = connected(Repeated(make(), 4))
        expected = observed(whole, 0, 120)
        first = connected(Repeated(make(), 4))
        observed(first, 0, step)
        again = connected(Repeated(make(), 4))
        again.load_state_dict(first.state_dict(step))
        assert observed(again, step, 120) == expected[step:]


def test_refused() -> None:
    with pytest.raises(UserError, match=r"data\.mixture: times is 0; it must be at least 1"):
        Repeated(Joint(), 0)
