"""GradNorm against the paper's formula in numpy, on losses whose gradients are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from research.errors import UserError
from research.weighting import GradNorm

SLOPES = np.array([100.0, 1.0, 4.0])


class Lines:
    """``L_i = offset_i + slope_i x_i`` of a shared vector x: the gradient's norm is the slope."""

    def __init__(self, count: int = 3, **settings: float) -> None:
        self.x = nn.Parameter(torch.zeros(count, dtype=torch.float64))
        self.names = ["a", "b", "c"][:count]
        self.weighting = GradNorm(**settings)
        self.weighting.build(self.names, [[self.x]], [self.x])

    def losses(self, offsets: list[float], names: list[str] | None = None) -> dict[str, Tensor]:
        every = torch.tensor(offsets) + torch.from_numpy(SLOPES[: len(self.names)]) * self.x
        return {name: every[i] for i, name in enumerate(self.names) if name in (names or self.names)}

    def step(self, losses: dict[str, Tensor], factor: float = 1.0) -> dict[str, float]:
        self.x.grad = None
        loss, weights = self.weighting(losses, 0.0)
        self.weighting.backward(factor * loss)
        return {name: float(weight) for name, weight in weights.items()}


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def slope_of(z: np.ndarray, losses: np.ndarray, first: np.ndarray, alpha: float) -> np.ndarray:
    """The derivative by z of sum_i |G_i / mean(G) - r_i^alpha|, worked out."""
    w = len(z) * softmax(z)
    pulls = w * SLOPES[: len(z)]
    rates = losses / first
    signs = np.sign(pulls / pulls.mean() - (rates / rates.mean()) ** alpha)
    jacobian = np.diag(w) - np.outer(w, w) / len(z)  # of the weights
    return (signs * SLOPES[: len(z)] / pulls.mean()) @ jacobian


@pytest.mark.parametrize("factor", [1.0, 2.0**16])
def test_three_steps_by_hand(factor: float) -> None:
    lines = Lines(alpha=0.7, lr=0.1)
    z, history = np.zeros(3), [[6.0, 2.0, 1.0], [5.0, 1.9, 1.2], [2.0, 1.8, 0.7]]
    for offsets in history:
        weights = lines.step(lines.losses(offsets), factor)
        assert list(weights.values()) == pytest.approx(3 * softmax(z), rel=1e-5)
        torch.testing.assert_close(lines.x.grad, torch.from_numpy(factor * 3 * softmax(z) * SLOPES), rtol=1e-5, atol=0)
        z = z - 0.1 * slope_of(z, np.array(offsets), np.array(history[0]), 0.7)


def test_a_loss_begins_where_it_is_not_zero() -> None:
    """A pull to the first weights is 0 in the first step, without a gradient: as if it was not there."""
    late, zero = Lines(alpha=0.7, lr=0.1), Lines(alpha=0.7, lr=0.1)
    for i, offsets in enumerate([[6.0, 2.0, 1.0], [5.0, 1.9, 1.2], [2.0, 1.8, 0.7], [1.5, 1.7, 0.9]]):
        losses = zero.losses(offsets)
        losses["c"] = losses["c"] * 0.0 if i == 0 else losses["c"]
        mine = zero.step(losses)
        theirs = late.step(late.losses(offsets, ["a", "b"] if i == 0 else None))
        assert {name: mine[name] for name in theirs} == theirs
    torch.testing.assert_close(zero.weighting.logits, late.weighting.logits, rtol=0, atol=0)
    assert zero.weighting.logits.abs().min() > 0.01


def test_norms_a_hundred_times_apart_are_balanced() -> None:
    lines = Lines(count=2, alpha=0.0)
    for _ in range(250):
        weights = lines.step(lines.losses([3.0, 3.0]))
    pulls = np.array(list(weights.values())) * SLOPES[:2]
    assert pulls.max() / pulls.min() < 1.2 and sum(weights.values()) == pytest.approx(2)


def test_objectives_that_take_turns_are_balanced_too() -> None:
    """As where a step has one stream: each counts with its last norm and loss."""
    lines = Lines(count=2, alpha=0.0)
    assert lines.step(lines.losses([3.0, 3.0], ["a"])) == {"a": 1.0}
    weights = dict[str, float]()
    for step in range(300):
        weights |= lines.step(lines.losses([3.0, 3.0], [lines.names[step % 2]]))
    pulls = np.array([weights["a"], weights["b"]]) * SLOPES[:2]
    assert pulls.max() / pulls.min() < 1.2


def test_an_objective_that_lags_pulls_harder() -> None:
    lines = Lines(count=2, alpha=1.0)
    lines.step(lines.losses([3.0, 3.0]))
    for _ in range(300):
        weights = lines.step(lines.losses([1.0, 3.0]))
    assert weights["b"] * SLOPES[1] / (weights["a"] * SLOPES[0]) == pytest.approx(3.0, rel=0.2)


def test_last_layer_or_all() -> None:
    upper, lower = (nn.Parameter(torch.tensor([v])) for v in (2.0, 3.0))
    for layers, norm in (("last", 3.0), ("all", 13**0.5)):
        weighting = GradNorm(layers=layers)  # type: ignore[arg-type]
        weighting.build(["a"], [[upper], [lower]], [upper, lower])
        weighting.backward(weighting({"a": (upper * lower).sum()}, 0.0)[0])
        assert weighting.norms.tolist() == pytest.approx([norm])


def test_refusals() -> None:
    with pytest.raises(UserError, match="alpha is -1; it must be at least 0"):
        GradNorm(alpha=-1)
    with pytest.raises(UserError, match="lr is 0; it must be above 0"):
        GradNorm(lr=0)
    with pytest.raises(UserError, match="GradNorm needs a backbone to train"):
        GradNorm().build(["a"], [], [])
