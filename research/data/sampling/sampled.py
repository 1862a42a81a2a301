"""Probabilities given by name."""

import numpy as np

from research.data.sampling.drawn import Drawn, check_names, check_positive
from research.errors import UserError
from research.ramp import Ramp


class Sampled(Drawn):
    """One stream a step, drawn with given probabilities that stay or move over training.

    Args:
        probabilities: for each stream a number above 0, or a :class:`Ramp`; they are normalised in each step.
        epoch: its length in steps; the default is one batch for each batch of all streams.
        at_least: for some streams the least share of the steps.
    """

    def __init__(
        self,
        probabilities: dict[str, float | Ramp],
        epoch: int | None = None,
        at_least: dict[str, float] | None = None,
    ) -> None:
        super().__init__(epoch, at_least)
        self.asked = probabilities
        for name, value in probabilities.items():
            if not isinstance(value, Ramp):
                check_positive(f"probabilities.{name}", value)
        ramps = [v if isinstance(v, Ramp) else Ramp(v, v, "constant") for v in probabilities.values()]
        for x in sorted({0.0, 1.0, *(x for ramp in ramps for x in (ramp.begin, ramp.finish))}):
            if not any(ramp.at(x) for ramp in ramps):
                raise UserError(f"data.mixture: probabilities are all 0 at the share {x:g} of training")

    def connect(self, streams: list[str], seed: int) -> None:
        check_names("probabilities", self.asked, streams)
        super().connect(streams, seed)

    def weights(self, steps: np.ndarray) -> np.ndarray:
        return np.stack([self.over_time(self.asked[name], steps) for name in self.streams], axis=1)
