"""Weights that move over training, such as a hand-over from pre-training to fine-tuning."""

from collections.abc import Iterable

from research.ramp import Ramp
from research.weighting.base import Weighting


class Scheduled(Weighting):
    """Args:
    weights: for each objective a number at least 0 or a :class:`Ramp`; 1 for one that is not named.
    """

    def __init__(self, weights: dict[str, float | Ramp]) -> None:
        super().__init__()
        self.ramps = {n: w if isinstance(w, Ramp) else Ramp(w, w, "constant") for n, w in weights.items()}

    def names(self) -> Iterable[str]:
        return self.ramps

    def weight(self, name: str, progress: float) -> float:
        return self.ramps[name].at(progress) if name in self.ramps else 1.0
