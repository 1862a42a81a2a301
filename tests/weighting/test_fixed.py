"""Fixed weights: the sum that they make, and what is refused."""

import pytest
import torch

from research.errors import UserError
from research.weighting import Fixed


def test_weighted_sum_and_its_gradient() -> None:
    a, b, c = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (2.0, 3.0, 5.0))
    loss, weights = Fixed({"a": 0.5, "b": 2.0})({"a": a, "b": b, "c": c}, 0.3)
    assert loss.item() == 0.5 * 2 + 2 * 3 + 1 * 5 and weights == {"a": 0.5, "b": 2.0, "c": 1.0}
    assert torch.autograd.grad(loss, (a, b, c)) == (0.5, 2.0, 1.0)
    assert Fixed()({"a": a, "c": c}, 0.0)[0].item() == 7.0


def test_only_the_losses_of_this_step_count() -> None:
    loss, weights = Fixed({"a": 3.0, "b": 100.0})({"a": torch.tensor(2.0)}, 0.0)
    assert loss.item() == 6.0 and weights == {"a": 3.0}


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"model.weighting.weights.kd is -0.1; it must be at least 0"):
        Fixed({"ce": 1.0, "kd": -0.1})
    with pytest.raises(UserError, match=r"model.weighting.weights.mlm: no such objective; there are ce, kd"):
        Fixed({"ce": 1.0, "mlm": 1.0}).check(["ce", "kd"])
    Fixed({"ce": 1.0}).check(["ce", "kd"])
