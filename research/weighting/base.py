"""What every weighting does: a weight an objective, one loss of them all, and its gradient."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from research.errors import UserError

Weights = dict[str, Any]
"""A number, or a tensor of no dimension, for each objective of a step."""


class Weighting(nn.Module, ABC):
    """Plans a weight at least 0 for each objective; one of weight 0 is not computed in that step."""

    @abstractmethod
    def weight(self, name: str, progress: float) -> float:
        """The planned weight of an objective; ``progress`` is the share of training done, in [0, 1]."""

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

    def check_validation(self, measured: Collection[str]) -> None:
        """Refuse to wait for a figure of an objective that no validation of a fit measures.

        Raises:
            UserError: naming the key.
        """

    def build(
        self, objectives: Sequence[str], shared: Sequence[list[nn.Parameter]], parameters: Sequence[nn.Parameter]
    ) -> None:
        """Make what it keeps of each objective; called when the model has its weights.

        Args:
            objectives: the names of all.
            shared: the backbone's trainable parameters, a list a layer, from the top down.
            parameters: those and all others.
        """

    def groups(self) -> list[dict[str, Any]]:
        """Its own parameters, as groups for ``torch.optim``."""
        return []

    def observe(self, figures: Mapping[str, float]) -> None:
        """Hear what a validation gave, such as ``validation/mlm/loss``."""

    def forward(self, losses: Mapping[str, Tensor], progress: float) -> tuple[Tensor, Weights]:
        """The weighted sum (a scalar) and the weights used."""
        weights = self.weights_of(losses, progress)
        return sum(
            (weights[name] * loss for name, loss in losses.items()), start=0 * next(iter(losses.values()))
        ), weights

    def weights_of(self, losses: Mapping[str, Tensor], progress: float) -> Weights:
        """The weights of this step's losses; the planned ones unless a subclass knows better."""
        return {name: self.weight(name, progress) for name in losses}

    def backward(self, loss: Tensor) -> Weights:
        """Add the gradient of what :meth:`forward` gave, times a factor; returns weights that only now are known."""
        loss.backward()
        return {}
