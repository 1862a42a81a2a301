"""Probabilities from the sizes of the streams (Raffel et al. 2020, arXiv:1910.10683)."""

import numpy as np

from research.data.sampling.drawn import Drawn, check_positive
from research.data.sampling.turns import ENDLESS
from research.errors import UserError
from research.ramp import Ramp


class Temperature(Drawn):
    """One stream a step, of probability ``p_i ~ min(n_i, cap)^(1/T)`` for a stream of n_i batches a pass.

    T = 1 is in proportion to size: all streams end their passes together. T = 2 is the square root; 1/T = 0.3 that
    of mT5 (Xue et al. 2021, arXiv:2010.11934). The higher T, the more alike the streams.

    Args:
        temperature: T, above 0, or a :class:`Ramp` of it over training.
        cap: K, in batches of all processes, at least 1: what a stream has beyond it does not count.
        epoch: its length in steps; the default is one batch for each batch of all streams.
        at_least: for some streams the least share of the steps.
    """

    def __init__(
        self,
        temperature: float | Ramp = 1.0,
        cap: int | None = None,
        epoch: int | None = None,
        at_least: dict[str, float] | None = None,
    ) -> None:
        super().__init__(epoch, at_least)
        if isinstance(temperature, Ramp):
            check_positive("temperature.start", temperature.start)
            check_positive("temperature.end", temperature.end)
        else:
            check_positive("temperature", temperature)
        if cap is not None and cap < 1:
            raise UserError(f"data.mixture: cap is {cap}; it must be at least 1")
        self.temperature, self.cap = temperature, cap

    def weights(self, steps: np.ndarray) -> np.ndarray:
        if self.cap is None and self._sizes.max() >= ENDLESS:
            raise UserError("data.mixture: a streamed corpus has no known size to take a share by: set cap")
        sizes = np.minimum(self._sizes, self.cap or np.inf)
        return (sizes / sizes.max()) ** (1 / self.over_time(self.temperature, steps))[:, None]
