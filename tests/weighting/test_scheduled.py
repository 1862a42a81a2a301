"""Scheduled weights against numbers worked out by hand."""

import pytest
import torch

from research.errors import UserError
from research.weighting import Ramp, Scheduled


def test_a_hand_over() -> None:
    """From pre-training to fine-tuning, with a constant and an objective that is not named."""
    weighting = Scheduled({"mlm": Ramp(1.0, 0.0), "ce": Ramp(0.0, 1.0), "kd": 0.5})
    losses = {
        "mlm": torch.tensor(2.0),
        "ce": torch.tensor(10.0),
        "kd": torch.tensor(4.0),
        "nce": torch.tensor(1.0),
    }
    for progress, expected in {0.0: 2 + 0 + 2 + 1, 0.5: 1 + 5 + 2 + 1, 1.0: 0 + 10 + 2 + 1}.items():
        assert weighting(losses, progress)[0].item() == pytest.approx(expected)
    assert weighting(losses, 0.25)[1] == {"mlm": 0.75, "ce": 0.25, "kd": 0.5, "nce": 1.0}


def test_unknown_and_negative() -> None:
    with pytest.raises(UserError, match=r"model.weighting.weights.mlm: no such objective; there are ce"):
        Scheduled({"mlm": Ramp(1.0)}).check(["ce"])
    with pytest.raises(UserError, match="at least 0"):
        Scheduled({"ce": -1.0})
