"""What private training spends, against Google's accountants (dp-accounting)."""

import pytest

from research.errors import UserError
from research.privacy.budget import Budget, noise_for

dp = pytest.importorskip("dp_accounting", reason="dp-accounting is not installed")
pytest.importorskip("opacus", reason="the extra private is not installed")


def judged(accountant: object, rate: float, noise: float, steps: int, delta: float) -> float:
    step = dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise))
    judge: object = accountant.compose(dp.SelfComposedDpEvent(step, steps))  # type: ignore[attr-defined]
    return float(judge.get_epsilon(delta))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rate", "noise", "steps"), [(0.01, 1.1, 1000), (0.1, 2.0, 150), (1.0, 5.0, 20)])
def test_epsilon(rate: float, noise: float, steps: int) -> None:
    from dp_accounting import pld, rdp

    budget = Budget(rate, noise, 1e-5, steps)
    assert budget.epsilon() == pytest.approx(judged(rdp.RdpAccountant(), rate, noise, steps, 1e-5), rel=0.02)
    assert budget.epsilon() >= judged(pld.PLDAccountant(), rate, noise, steps, 1e-5), "it is an upper bound"
    assert Budget(rate, noise, 1e-5).epsilon() == 0
    assert budget.epsilon(2 * steps) > budget.epsilon() == Budget(rate, noise, 1e-5).epsilon(steps)


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0])
def test_the_noise_spends_what_it_may(epsilon: float) -> None:
    from dp_accounting import rdp

    noise = noise_for(epsilon, 1e-5, 0.05, 300)
    assert 0.97 * epsilon < judged(rdp.RdpAccountant(), 0.05, noise, 300, 1e-5) <= 1.01 * epsilon
    assert 0.97 * epsilon < Budget(0.05, noise, 1e-5, 300).epsilon() <= epsilon


def test_what_no_noise_is_enough_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model.privacy.epsilon is 1e-06; 300 batches .* raise it, or lower"):
        noise_for(1e-6, 1e-5, 0.5, 300)
