"""Uncertainty weighting against TorchJD's and the paper's formula."""

import math

import pytest
import torch

from research.errors import UserError
from research.weighting import Uncertainty


def built(**settings: object) -> Uncertainty:
    weighting = Uncertainty(**settings)  # type: ignore[arg-type]
    weighting.build(["ce", "sts"], [], [])
    return weighting


def test_squared_errors_against_torchjd() -> None:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="the extra torchjd is not installed")
    ours, theirs = built(regression=["ce", "sts"]), scalarization.UW(2)
    mine = torch.optim.Adam(ours.parameters(), 0.1)
    other = torch.optim.Adam(theirs.parameters(), 0.1)
    for values in ([3.0, 0.2], [2.5, 0.3], [2.0, 0.1]):
        loss, _ = ours({"ce": torch.tensor(values[0]), "sts": torch.tensor(values[1])}, 0.0)
        expected = theirs(torch.tensor(values))
        torch.testing.assert_close(loss, expected)
        for optimiser, value in ((mine, loss), (other, expected)):
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    torch.testing.assert_close(torch.cat(list(ours.log_variances.values())), theirs.log_var)


def test_a_cross_entropy_by_hand() -> None:
    weighting = built(regression=["sts"], weights={"ce": 2.0})
    with torch.no_grad():
        weighting.log_variances["ce"].fill_(math.log(4.0))
        weighting.log_variances["sts"].fill_(math.log(0.25))
    losses = {"ce": torch.tensor(3.0, requires_grad=True), "sts": torch.tensor(5.0, requires_grad=True)}
    loss, weights = weighting(losses, 0.0)
    assert loss.item() == pytest.approx(2 * (3 / 4 + math.log(4) / 2) + (5 * 4 / 2 + math.log(0.25) / 2))
    assert {n: w.item() for n, w in weights.items()} == pytest.approx({"ce": 0.5, "sts": 2.0})
    weighting.backward(loss)
    assert losses["ce"].grad.item() == pytest.approx(0.5) and losses["sts"].grad.item() == pytest.approx(2.0)
    assert weighting.log_variances["ce"].grad.item() == pytest.approx(2 * (0.5 - 3 / 4))


def test_comes_to_rest_where_the_paper_says() -> None:
    """exp(s) = 2 L for a cross entropy, so that twice the loss has half the weight."""
    weighting = built(lr=0.05)
    optimiser = torch.optim.AdamW(weighting.groups())
    for _ in range(300):
        optimiser.zero_grad()
        weighting({"ce": torch.tensor(0.5), "sts": torch.tensor(4.0)}, 0.0)[0].backward()
        optimiser.step()
    assert [v.exp().item() for v in weighting.log_variances.values()] == pytest.approx([1.0, 8.0], rel=0.02)


def test_an_objective_that_is_absent_stays_as_it_is() -> None:
    weighting = built()
    weighting({"ce": torch.tensor(2.0)}, 0.0)[0].backward()
    assert weighting.log_variances["sts"].grad is None and weighting.log_variances["ce"].grad is not None


def test_refusals() -> None:
    with pytest.raises(UserError, match="lr is 0; it must be above 0"):
        Uncertainty(lr=0)
    with pytest.raises(UserError, match=r"model.weighting.regression: no objective sts; there are ce, mlm"):
        Uncertainty(regression=["sts"]).check(["ce", "mlm"])
    with pytest.raises(UserError, match=r"model.weighting.weights.kd: no such objective"):
        Uncertainty({"kd": 1.0}).check(["ce"])
