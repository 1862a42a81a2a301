"""Loss scales against running means in numpy."""

import numpy as np
import pytest
import torch

from research.errors import UserError
from research.weighting import LossScale


def built(**settings: float) -> LossScale:
    weighting = LossScale(**settings)  # type: ignore[arg-type]
    weighting.build(["a", "b"], [], [])
    return weighting


def test_by_hand_with_an_absent_objective() -> None:
    """The mean that is corrected for its start weighs a loss of n steps ago by momentum^n."""
    weighting = built(momentum=0.8, weights={"b": 3.0})
    history: dict[str, list[float]] = {"a": [], "b": []}
    for values in ({"a": 4.0, "b": 0.1}, {"a": 2.0}, {"a": 3.0, "b": 0.4}, {"b": -0.2}):
        losses = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
        loss, weights = weighting(losses, 0.0)
        loss.backward()
        for name, value in values.items():
            history[name].append(abs(value))
            mean = np.average(history[name], weights=0.8 ** np.arange(len(history[name]))[::-1])
            planned = 3.0 if name == "b" else 1.0
            assert weights[name].item() == pytest.approx(planned / mean, rel=1e-5)
            assert losses[name].grad.item() == pytest.approx(planned / mean, rel=1e-5), "the scale has no gradient"


def test_units_do_not_matter() -> None:
    grams, tons = built(), built()
    for a, b in [(3.0, 0.5), (2.0, 0.4), (2.5, 0.1)]:
        one, _ = grams({"a": torch.tensor(a), "b": torch.tensor(b)}, 0.0)
        other, _ = tons({"a": torch.tensor(1e6 * a), "b": torch.tensor(1e-4 * b)}, 0.0)
        assert other.item() == pytest.approx(one.item(), rel=1e-5)


def test_a_loss_of_zero() -> None:
    loss, _ = built()({"a": torch.tensor(0.0), "b": torch.tensor(1.0)}, 0.0)
    assert loss.item() == pytest.approx(1.0)


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"momentum is 1.0; it must lie in \[0, 1\)"):
        LossScale(momentum=1.0)
