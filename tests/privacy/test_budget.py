"""What private training spends, against integrals of the mechanism's densities, and against closed forms."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from research.errors import UserError
from research.privacy.budget import Budget, noise_for

pytest.importorskip("opacus", reason="the extra private is not installed")


def by_integrals(rate: float, noise: float, steps: int, delta: float) -> float:
    """Epsilon of the sampled Gaussian, whose Rényi divergences (Mironov et al. 2019, arXiv:1908.10530, theorem 4) are

    ``1/(a-1) log E_{z ~ N(0, s^2)} ((1-q) + q exp((2z-1) / (2 s^2)))^a``,

    by the conversion of Canonne et al. (2020, arXiv:2004.00010, proposition 12), at the best of some orders a.
    """

    def divergence(order: float) -> float:
        def density(z: float) -> float:
            ratio = np.logaddexp(
                math.log1p(-rate) if rate < 1 else -np.inf, math.log(rate) + (2 * z - 1) / 2 / noise**2
            )
            return float(np.exp(order * ratio + stats.norm.logpdf(z, scale=noise)))

        middle = [0.0, order]  # where the density of each of the two parts of the mixture lies
        moment = integrate.quad(density, -12 * noise, order + 12 * noise, points=middle, limit=500)[0]
        return steps * math.log(moment) / (order - 1)

    orders = [*np.arange(1.5, 12, 0.5), *range(12, 40)]
    return min(divergence(a) + math.log1p(-1 / a) - math.log(delta * a) / (a - 1) for a in orders)


@pytest.mark.parametrize(("rate", "noise", "steps"), [(0.01, 1.1, 1000), (0.1, 2.0, 150), (0.05, 0.9, 100)])
def test_epsilon(rate: float, noise: float, steps: int) -> None:
    budget = Budget(rate, noise, 1e-5, steps)
    assert budget.epsilon() == pytest.approx(by_integrals(rate, noise, steps, 1e-5), rel=0.01)
    assert Budget(rate, noise, 1e-5).epsilon() == 0
    assert budget.epsilon(2 * steps) > budget.epsilon() == Budget(rate, noise, 1e-5).epsilon(steps)


def test_epsilon_without_sampling_is_above_the_exact_one() -> None:
    """T steps on all examples are one Gaussian mechanism, which has a closed form (Balle & Wang 2018, theorem 8)."""
    steps, noise, delta = 20, 5.0, 1e-5
    mu = math.sqrt(steps) / noise

    def excess(epsilon: float) -> float:
        law = stats.norm.cdf
        return float(law(mu / 2 - epsilon / mu) - math.exp(epsilon) * law(-mu / 2 - epsilon / mu)) - delta

    exact = optimize.brentq(excess, 0.01, 20)
    assert exact <= Budget(1.0, noise, delta, steps).epsilon() < 1.15 * exact


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0])
def test_the_noise_spends_what_it_may(epsilon: float) -> None:
    noise = noise_for(epsilon, 1e-5, 0.05, 300)
    assert 0.97 * epsilon < by_integrals(0.05, noise, 300, 1e-5) <= 1.01 * epsilon
    assert 0.97 * epsilon < Budget(0.05, noise, 1e-5, 300).epsilon() <= epsilon


def test_what_no_noise_is_enough_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model.privacy.epsilon is 1e-06; with delta 1e-05 it must be above 0\.01"):
        noise_for(1e-6, 1e-5, 0.5, 300)
    assert Budget(0.5, noise_for(0.2, 1e-5, 0.5, 300), 1e-5, 300).epsilon() <= 0.2
