"""Which stream gives which batch in which step: shares, counts, borders, ranks."""

import itertools
import pickle
from collections import Counter

import numpy as np
import pytest

from research.data.sampling import BLOCK, HOLE, Joint, Sampled, Sampling, Turns
from research.errors import UserError
from research.ramp import Ramp

NAMES = ["wiki", "news", "intents"]
SHARES = {"wiki": 6.0, "news": 3.0, "intents": 1.0}


def connected(seed: int = 0, names: list[str] = NAMES) -> Sampled:
    sampling = Sampled({name: SHARES[name] for name in names})
    sampling.connect(names, seed)
    return sampling


def positions(sampling: Sampling, stream: str, start: int, steps: int) -> list[int]:
    return list(itertools.islice(Turns(sampling, stream, steps, lambda: start), steps))


def test_joint_epochs() -> None:
    batches = {"a": 7, "b": 3, "c": 5}
    assert Joint().epoch_steps(batches) == 7
    assert Joint("shortest").epoch_steps(batches) == 3
    assert Joint(12).epoch_steps(batches) == 12


def test_joint_gives_every_stream_a_batch_in_each_step() -> None:
    joint = Joint()
    joint.connect(NAMES, 0)
    for name in NAMES:
        assert positions(joint, name, 0, 9) == list(range(9))
        assert positions(joint, name, 5, 4) == [5, 6, 7, 8], "a new epoch goes on where the last one ended"


def test_sampled_epochs() -> None:
    assert Sampled({"a": 1.0, "b": 1.0}).epoch_steps({"a": 7, "b": 3}) == 10
    assert Sampled({"a": 1.0, "b": 1.0}, epoch=4).epoch_steps({"a": 7, "b": 3}) == 4


def test_one_stream_a_step_with_turns_that_count_up_across_blocks() -> None:
    sampling = connected()
    counts: Counter[str] = Counter()
    for step in range(2 * BLOCK + 300):
        turns = {name: sampling.turn(name, step) for name in NAMES}
        (chosen,) = [name for name, turn in turns.items() if turn is not None]
        assert turns[chosen] == counts[chosen], step
        counts[chosen] += 1


def test_realised_shares_follow_the_probabilities() -> None:
    """Within four standard deviations of the binomial, and not closer than chance would come."""
    steps = 20_000
    counts = {name: sum(p != HOLE for p in positions(connected(), name, 0, steps)) for name in NAMES}
    assert sum(counts.values()) == steps
    for name, share in SHARES.items():
        p = share / 10
        assert abs(counts[name] - p * steps) < 4 * np.sqrt(steps * p * (1 - p))
    first, second = (np.array([p == HOLE for p in positions(connected(seed), "wiki", 0, steps)]) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03


def test_a_step_does_not_depend_on_what_was_asked_before() -> None:
    whole = positions(connected(), "news", 0, 3 * BLOCK)
    for start in (0, 17, BLOCK - 2, BLOCK, 2 * BLOCK + 5):
        assert positions(connected(), "news", start, 40) == whole[start : start + 40]
    backwards = connected()
    asked = [backwards.turn("news", step) for step in reversed(range(BLOCK - 50, BLOCK + 50))]
    assert [HOLE if t is None else t for t in reversed(asked)] == whole[BLOCK - 50 : BLOCK + 50]
    assert positions(pickle.loads(pickle.dumps(connected())), "news", 0, 40) == whole[:40]


def test_probabilities_that_move() -> None:
    """From all wiki to mostly intents in the second half, with a share of wiki that is replayed to the end."""
    moving: dict[str, float | Ramp] = {"wiki": Ramp(1.0, 0.0, "step", 0.5), "intents": Ramp(0.0, 0.8, "cosine")}
    sampling = Sampled({**moving, "news": 0.2}, at_least={"wiki": 0.1})
    sampling.connect(NAMES, 0)
    sampling.begin(dict.fromkeys(NAMES, 1), lambda: 200, 1)
    expected = {
        0: {"wiki": 1 / 1.2, "news": 0.2 / 1.2, "intents": 0.0},
        99: {"wiki": 1 / 1.6, "news": 0.2 / 1.6, "intents": 0.4 / 1.6},
        100: {"wiki": 0.1, "news": 0.3, "intents": 0.6},
        200: {"wiki": 0.1, "news": 0.18, "intents": 0.72},
    }
    for step, probabilities in expected.items():
        assert sampling.probabilities(step) == pytest.approx(probabilities, abs=0.008), step
    late = [sampling.turn("wiki", step) is not None for step in range(200, 4096)]
    assert abs(np.mean(late) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / len(late))


def test_late_steps_are_quick() -> None:
    """Each block is drawn once: a step costs the same in a long run."""
    sampling = connected()
    sampling.turn("wiki", 500 * BLOCK)
    drawn = len(sampling._blocks)
    for step in range(500 * BLOCK, 500 * BLOCK + 100):
        sampling.turn("wiki", step)
    assert drawn == len(sampling._blocks) == 501


def test_streams_are_drawn_by_their_names_order() -> None:
    """The same run whatever the order in which probabilities are written."""
    turned = Sampled(dict(reversed(SHARES.items())))
    turned.connect(NAMES, 0)
    for name in NAMES:
        assert positions(turned, name, 0, 500) == positions(connected(), name, 0, 500)


@pytest.mark.parametrize("sampled", [False, True])
def test_every_position_comes_once_over_epochs(sampled: bool) -> None:
    """However training is cut into them."""
    sampling = connected() if sampled else Joint()
    given = [p for start in (0, 30, 60) for p in positions(sampling, "wiki", start, 30) if p != HOLE]
    assert given == list(range(len(given))) and len(given) >= 40


def test_turns_say_how_long_an_epoch_is_and_do_not_end_there() -> None:
    turns = Turns(Joint(), "wiki", 3, lambda: 0)
    assert len(turns) == 3
    assert list(itertools.islice(turns, 10)) == list(range(10))


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: Joint(0), "epoch is 0; it must be at least 1"),
        (lambda: Sampled({"a": 1.0}, epoch=0), "epoch is 0; it must be at least 1"),
        (lambda: Sampled({"a": 1.0, "b": 0.0}), r"probabilities\.b is 0\.0; it must be above 0"),
        (lambda: Sampled({"a": 1.0, "b": -1.0}), r"probabilities\.b is -1\.0"),
        (lambda: Sampled({"a": 1.0, "b": float("nan")}), r"probabilities\.b is nan"),
        (lambda: Sampled({"a": 1.0, "b": float("inf")}), r"probabilities\.b is inf"),
        (lambda: Sampled({"a": Ramp(1.0, 0.0, finish=0.5)}), r"probabilities are all 0 at the share 0\.5 of training"),
    ],
)
def test_refused(make: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        make()  # type: ignore[operator]


def test_probabilities_name_the_streams() -> None:
    with pytest.raises(UserError, match=r"probabilities name \['a'\], data\.streams has \['a', 'b'\]"):
        Sampled({"a": 1.0}).connect(["a", "b"], 0)
