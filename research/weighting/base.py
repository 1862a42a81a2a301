"""What every weighting does: one weight an objective, and the sum."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from research.errors import UserError


class Weighting(nn.Module, ABC):
    """Gives each objective a weight at least 0; an objective of weight 0 is not computed in that step."""

    @abstractmethod
    def weight(self, name: str, progress: float) -> float:
        """The weight of an objective; ``progress`` is the share of training done, in [0, 1]."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """The objectives that the settings mention."""

    def check(self, objectives: Iterable[str]) -> None:
        """Refuse weights of objectives that do not exist.

        Raises:
            UserError: naming the key.
        """
        known = list(objectives)
        for name in self.names():
            if name not in known:
                raise UserError(f"model.weighting.weights.{name}: no such objective; there are {', '.join(known)}")

    def forward(self, losses: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum (a scalar) and the weights used."""
        weights = {name: self.weight(name, progress) for name in losses}
        return sum(
            (weights[name] * loss for name, loss in losses.items()), start=0 * next(iter(losses.values()))
        ), weights
