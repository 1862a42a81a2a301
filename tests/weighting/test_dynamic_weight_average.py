"""Dynamic weight average against TorchJD's, whose epochs are our blocks."""

import math

import pytest
import torch

from research.errors import UserError
from research.weighting import DynamicWeightAverage

STEPS = [
    [3.0, 2.0, 9.0],
    [2.0, 2.5, 8.0],
    [2.0, 1.0, 8.5],
    [1.0, 2.0, 8.0],
    [1.0, 0.5, 3.0],
    [0.9, 0.4, 2.0],
    [1, 1, 1],
]
NAMES = ["a", "b", "c"]


def built(**settings: float) -> DynamicWeightAverage:
    weighting = DynamicWeightAverage(**settings)  # type: ignore[arg-type]
    weighting.build(NAMES, [], [])
    return weighting


def losses(values: list[float], names: list[str] = NAMES) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(float(value)) for name, value in zip(names, values, strict=True)}


def test_against_torchjd() -> None:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="the extra torchjd is not installed")
    ours, theirs = built(every=2, temperature=0.7), scalarization.DWA(0.7)
    for i, values in enumerate(STEPS):
        loss, _ = ours(losses(values), 0.0)
        torch.testing.assert_close(loss, theirs(torch.tensor(values)))
        if i % 2 == 1:
            theirs.step()


def test_an_objective_that_misses_a_block() -> None:
    """Worked out: b's blocks are the first and third, c has none, and r is 1 until there are two."""
    weighting = built(every=1, temperature=1.0)
    weighting(losses([4.0, 4.0], ["a", "b"]), 0.0)
    weighting(losses([2.0], ["a"]), 0.0)
    assert [w.item() for w in weighting(losses([1.0, 6.0], ["a", "b"]), 0.0)[1].values()] == pytest.approx(
        [3 * math.exp(0.5) / (math.exp(0.5) + 2 * math.e), 3 * math.e / (math.exp(0.5) + 2 * math.e)]
    )
    total = math.exp(0.5) + math.exp(1.5) + math.e
    weights = weighting(losses([1.0, 1.0, 1.0]), 0.0)[1]
    expected = [3 * math.exp(r) / total for r in (0.5, 1.5, 1.0)]
    assert [w.item() for w in weights.values()] == pytest.approx(expected)


@pytest.mark.parametrize("later", [0.0, 2.0])
def test_a_loss_that_was_zero(later: float) -> None:
    weighting = built(every=1, temperature=1.0)
    weighting(losses([0.0, 4.0, 3.0]), 0.0)
    weighting(losses([later, 2.0, 3.0]), 0.0)
    weights = weighting(losses([1.0, 1.0, 1.0]), 0.0)[1]
    total = math.exp(0.5) + 2 * math.e
    assert [w.item() for w in weights.values()] == pytest.approx([3 * math.exp(r) / total for r in (1.0, 0.5, 1.0)])


def test_planned_weights_multiply() -> None:
    loss, weights = built(weights={"a": 0.5})(losses([4.0, 1.0, 1.0]), 0.0)
    assert loss.item() == 4.0 and weights["a"].item() == 0.5


def test_refusals() -> None:
    with pytest.raises(UserError, match="every is 0; it must be at least 1"):
        DynamicWeightAverage(every=0)
    with pytest.raises(UserError, match="temperature is 0; it must be above 0"):
        DynamicWeightAverage(temperature=0)
