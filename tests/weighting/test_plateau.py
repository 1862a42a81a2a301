"""When a weight moves, against torch's ReduceLROnPlateau."""

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from research.errors import UserError
from research.weighting import Plateau, Scheduled

FIGURES = [5.0, 4.0, 4.1, 4.0, 3.9, 3.95, 3.9, 4.2, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 2.9, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]


def hear(plateau: Plateau, value: float) -> float:
    plateau.observe("key", {"validation/mlm/loss": value, "validation/ce/loss": 9.0})
    return plateau.at(0.0)


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("larger", [False, True])
def test_moves_when_torch_would_lower_the_rate(patience: int, larger: bool) -> None:
    sign = -1.0 if larger else 1.0
    plateau = Plateau(1.0, 0.0, "mlm/loss", patience, moves=50, larger_is_better=larger)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    mode = "max" if larger else "min"
    reference = ReduceLROnPlateau(optimiser, mode, factor=0.5, patience=patience - 1, threshold=0.0, min_lr=0.0)
    moves = set()
    for value in FIGURES:
        reference.step(sign * value)
        halvings = -torch.tensor(optimiser.param_groups[0]["lr"]).log2().item()
        assert hear(plateau, sign * value) == pytest.approx(1 - halvings / 50)
        moves.add(halvings)
    assert len(moves) > 1


def test_a_hand_over() -> None:
    """By hand, patience 2, two moves: pre-training goes and fine-tuning comes in the same validations."""
    weighting = Scheduled(
        {"mlm": Plateau(1.0, 0.0, "mlm/loss", 2, 2), "ce": Plateau(0.0, 0.8, "mlm/loss", 2, 2), "kd": 0.5}
    )
    weighting.check(["mlm", "ce", "kd"])
    seen = []
    for value in (3.0, 2.0, 2.5, 2.5, 2.1, 1.9, 2.0, 2.0, 2.0, 2.0):
        weighting.observe({"validation/mlm/loss": value})
        seen.append((weighting.weight("mlm", 0.0), weighting.weight("ce", 0.9)))
    assert seen == [(1.0, 0.0)] * 3 + [(0.5, 0.4)] * 4 + [(0.0, 0.8)] * 3


def test_state_goes_on() -> None:
    def new() -> Scheduled:
        return Scheduled({"mlm": Plateau(1.0, 0.0, "mlm/loss", 2, moves=50)})

    whole = new()
    for stop in range(len(FIGURES)):
        resumed = new()
        resumed.load_state_dict(whole.state_dict())
        whole.observe({"validation/mlm/loss": FIGURES[stop]})
        resumed.observe({"validation/mlm/loss": FIGURES[stop]})
        assert resumed.weight("mlm", 0.0) == whole.weight("mlm", 0.0)
        torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_refusals() -> None:
    for settings, message in (
        ({"start": -1.0, "end": 0.0, "figure": "mlm/loss"}, "from -1.0 to 0.0; both must be at least 0"),
        ({"start": 1.0, "end": 0.0, "figure": "mlm"}, "figure 'mlm'; name an objective and a metric"),
        ({"start": 1.0, "end": 0.0, "figure": "mlm/loss", "patience": 0}, "patience 0; it must be at least 1"),
        ({"start": 1.0, "end": 0.0, "figure": "mlm/loss", "moves": 0}, "moves 0; it must be at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            Plateau(**settings)  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"model.weighting.weights.ce: its figure is of no objective 'mml'; there are ce"
    ):
        Scheduled({"ce": Plateau(1.0, 0.0, "mml/loss")}).check(["ce"])
    with pytest.raises(UserError, match="key: validation gives no figure mlm/f1; there is mlm/loss"):
        Plateau(1.0, 0.0, "mlm/f1").observe("key", {"validation/mlm/loss": 1.0})
