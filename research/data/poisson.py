"""Poisson sampling: each example comes into each batch, or does not, by a chance of its own."""

from collections.abc import Sequence

import numpy as np

from research.data.stream import Stream


class Poisson(Stream):
    """A stream whose batches take each of n examples with the probability ``batch_size / n``, whatever else they take.

    It is what the privacy accountants of DP-SGD assume (Abadi et al. 2016, arXiv:1607.00133): a batch has
    ``batch_size`` examples in the mean, and may have none, where it is no batch. A pass shows each example once in the
    mean.

    Args:
        stream: the same in batches of one size.
        repeatable: draw by the run's seed; else by the system's randomness, which nobody can repeat.
    """

    def __init__(self, stream: Stream, repeatable: bool) -> None:
        self.__setstate__(stream.__getstate__())
        self.repeatable = repeatable

    @property
    def rate(self) -> float:
        """The probability of an example to be in a batch, in (0, 1]."""
        return min(1.0, self.batch_size / self.size)

    @property
    def size(self) -> int:
        """The number n of examples."""
        return self._rows

    def taken(self, position: int) -> Sequence[np.ndarray]:
        rng = np.random.default_rng([*self.seed, 0xD9, position] if self.repeatable else None)
        rows: Sequence[np.ndarray] = np.flatnonzero(rng.random(self.size) < self.rate)[:, None]  # type: ignore[assignment]
        return rows
