"""What noised steps spend on one stream, by Opacus' accountant of Rényi divergences."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from research.errors import UserError

ORDERS = [*(1 + i / 5 for i in range(1, 25)), *range(6, 64), 80, 96, 128, 192, 256, 512]
"""Of the divergences: fewer fractions than Opacus', which take a while, and larger ones, for a small epsilon."""


@dataclass
class Budget:
    """The sampled Gaussian mechanism (Mironov et al. 2019, arXiv:1908.10530), composed over ``steps`` batches.

    Args:
        rate: the probability of an example to be in a batch, in (0, 1].
        noise: the noise multiplier: the standard deviation of the noise over the longest gradient of an example.
        delta: in (0, 1).
        steps: batches so far.
    """

    rate: float
    noise: float
    delta: float
    steps: int = 0

    def epsilon(self, steps: int | None = None) -> float:
        """What ``steps`` batches spend, by default those so far; an upper bound, 0 before the first."""
        from opacus.accountants.analysis.rdp import get_privacy_spent

        count = self.steps if steps is None else steps
        if count == 0:
            return 0.0
        orders, rdp = self._of_a_step
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Optimal order is the .*")  # the bound holds, and could be tighter
            return float(get_privacy_spent(orders=orders, rdp=count * rdp, delta=self.delta)[0])

    @cached_property
    def _of_a_step(self) -> tuple[list[float], Any]:
        """The orders, and the divergences (orders,) of one step; those of several add up."""
        from opacus.accountants.analysis.rdp import compute_rdp

        return ORDERS, compute_rdp(q=self.rate, noise_multiplier=self.noise, steps=1, orders=ORDERS)


def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise multiplier, to a hundredth of epsilon, by which ``steps`` batches spend at most ``epsilon``.

    Raises:
        UserError: if no noise is enough: this accountant cannot tell very little from a bit more.
    """
    from opacus.accountants.analysis.rdp import get_privacy_spent
    from opacus.accountants.utils import get_noise_multiplier

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the .*")
        least = 1.01 * max(float(get_privacy_spent(orders=ORDERS, rdp=[0.0] * len(ORDERS), delta=delta)[0]), 0.01)
        if epsilon <= least:
            raise UserError(f"model.privacy.epsilon is {epsilon:g}; with delta {delta:g} it must be above {least:.2f}")
        return float(
            get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant="rdp",
                alphas=ORDERS,
            )
        )
