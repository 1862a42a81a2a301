"""Which stream gives how many batches, and when, before any is read."""

import numpy as np

from research.data.mixture import MixtureDataModule

WINDOWS = 20  # points of the plot


def forecast(data: MixtureDataModule, steps: int) -> dict[str, np.ndarray]:
    """For each stream, the steps (steps,) bool in which it gives a batch, as :meth:`Sampling.turn` answers.

    A mixture that is driven by losses hears that none is above its reference.
    """
    mixture = data.mixture
    gives = {name: np.zeros(steps, dtype=bool) for name in data.streams}
    for step in range(steps):
        for name, given in gives.items():
            given[step] = mixture.turn(name, step) is not None
        mixture.observe(step, lambda: 0.0)
    return gives


def shares(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middles of up to :data:`WINDOWS` equal windows of steps, and the share of batches in each."""
    borders = np.linspace(0, len(given), min(WINDOWS, len(given)) + 1).round().astype(int)
    counts = np.diff(np.concatenate([[0], np.cumsum(given)])[borders])
    return (borders[1:] + borders[:-1]) / 2, counts / np.diff(borders)
