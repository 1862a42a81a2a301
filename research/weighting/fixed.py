"""Weights that stay."""

from collections.abc import Iterable

from research.errors import UserError
from research.weighting.base import Weighting


class Fixed(Weighting):
    """Args:
    weights: a number at least 0 for each objective; 1 for one that is not named.
    """

    def __init__(self, weights: dict[str, float] | None = None) -> None:
        super().__init__()
        self.weights = weights or {}
        for name, value in self.weights.items():
            if value < 0:
                raise UserError(f"model.weighting.weights.{name} is {value}; it must be at least 0")

    def names(self) -> Iterable[str]:
        return self.weights

    def weight(self, name: str, progress: float) -> float:
        return self.weights.get(name, 1.0)
