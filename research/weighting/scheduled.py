"""Weights that move over training, such as a hand-over from pre-training to fine-tuning."""

from collections.abc import Collection, Iterable, Mapping

from torch import nn

from research.ramp import Ramp
from research.weighting.base import Weighting
from research.weighting.plateau import Plateau

Plan = dict[str, float | Ramp | Plateau]


class Scheduled(Weighting):
    """Args:
    weights: for each objective a number at least 0, a :class:`Ramp` or a :class:`Plateau`; 1 for one not named.
    """

    def __init__(self, weights: Plan) -> None:
        super().__init__()
        self.plan = {n: Ramp(w, w, "constant") if isinstance(w, int | float) else w for n, w in weights.items()}
        self.plateaus = nn.ModuleDict({name: w for name, w in weights.items() if isinstance(w, Plateau)})

    def names(self) -> Iterable[str]:
        return self.plan

    def check(self, objectives: Iterable[str]) -> None:
        known = list(objectives)
        super().check(known)
        for name, plateau in self._plateaus():
            plateau.check(f"model.weighting.weights.{name}", known)

    def check_validation(self, measured: Collection[str]) -> None:
        for name, plateau in self._plateaus():
            plateau.check_validation(f"model.weighting.weights.{name}", measured)

    def weight(self, name: str, progress: float) -> float:
        return self.plan[name].at(progress) if name in self.plan else 1.0

    def observe(self, figures: Mapping[str, float]) -> None:
        for name, plateau in self._plateaus():
            plateau.observe(f"model.weighting.weights.{name}", figures)

    def _plateaus(self) -> list[tuple[str, Plateau]]:
        return list(self.plateaus.items())  # type: ignore[arg-type]
