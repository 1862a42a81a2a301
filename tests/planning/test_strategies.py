"""Memory by strategy against figures that others published, and sums worked out by hand."""

from collections import Counter

import pytest

from research.planning.strategies import BUCKET, PARTS, STRATEGIES, Step
from research.planning.trace import OUTSIDE, Counts


def counts(parameters: float, bytes_each: int, moments: float, **more: float) -> Counts:
    """Of so many parameters, all trained, by the bytes of each and of its moments; ``more`` is there at the peak."""
    size = int(parameters * bytes_each)
    peak = Counter({"parameters": size, "gradients": size, "optimiser": int(parameters * moments), "losses": 0})
    peak.update({name: int(value) for name, value in more.items()})
    return Counts(
        peak=peak, divided=peak, trainable=int(parameters), gradients=size, optimiser=int(parameters * moments)
    )


@pytest.mark.parametrize(("strategy", "published"), [("ZeRO 1", 31.4), ("ZeRO 2", 16.6), ("ZeRO 3", 1.9)])
def test_states_are_those_of_the_paper(strategy: str, published: float) -> None:
    """Figure 1 of Rajbhandari et al. 2020: 7.5 billion parameters under mixed precision on 64 devices, in GB."""
    step = Step(counts(7.5e9, 4, 8), counts(7.5e9, 2, 8), devices=64)
    memory = STRATEGIES[strategy].memory(step)
    assert (memory.total - memory.buffers) / 1e9 == pytest.approx(published, rel=0.02)


def test_one_process_is_what_was_counted() -> None:
    whole = counts(1e9, 4, 8, teacher=2e9, losses=3e8, activations=5e9)
    memory = STRATEGIES["one"].memory(Step(whole, whole, devices=1))
    assert memory.total == 16e9 + 2e9 + 3e8 + 5e9
    parts = [getattr(memory, part) for part in PARTS]
    assert dict(zip(PARTS, parts, strict=True)) == {
        "parameters": 4e9,
        "gradients": 4e9,
        "optimiser": 8e9,
        "teacher": 2e9,
        "activations": 5e9,
        "losses": 3e8,
        "buffers": 0,
    }


def test_divided_states_have_a_moment_of_their_own() -> None:
    """With all gradients whole the backward pass ends at the most; divided, what the forward pass keeps is more."""
    whole = counts(1e9, 4, 8)
    whole.divided = Counter({"parameters": 4 * 10**9, "optimiser": 8 * 10**9, "activations": 3 * 10**9})
    step = Step(whole, whole, devices=4)
    assert STRATEGIES["one"].memory(step).total == 16e9
    assert STRATEGIES["FSDP"].memory(step).total == (4e9 + 8e9) / 4 + 3e9


def test_strategies_by_hand() -> None:
    whole = counts(1e9, 4, 8, teacher=1e9, activations=2e9, **{OUTSIDE: 4e8})
    whole.layer, whole.rest = 100_000_000, 500_000_000
    step = Step(whole, whole, devices=4)
    totals = {name: strategy.memory(step).total / 1e9 for name, strategy in STRATEGIES.items()}
    kept, gathered, buckets, outside = 1 + 2, 0.5 + 3 * 0.1, 2 * 4 * BUCKET / 1e9, 0.4
    assert totals == pytest.approx({
        "one": 16 + kept + outside,
        "DDP": 16 + kept + 4 + outside,
        "FSDP": 4 + kept + gathered + outside,
        "ZeRO 1": 8 + 2 + kept + buckets + outside,
        "ZeRO 2": 4 + 1 + 2 + kept + buckets + outside / 4,
        "ZeRO 3": 4 + kept + gathered + buckets + outside / 4,
        "offload": kept + gathered + outside,
    })  # fmt: skip
    assert STRATEGIES["offload"].memory(step).host == 4e9
    sent = {name: strategy.sent(step) / 1e9 for name, strategy in STRATEGIES.items()}
    assert sent == pytest.approx({"one": 0, "DDP": 6, "FSDP": 9, "ZeRO 1": 6, "ZeRO 2": 6, "ZeRO 3": 9, "offload": 9})
