"""Planned weights times factors that follow the losses."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from research.ranks import averaged
from research.weighting.base import Weights
from research.weighting.scheduled import Plan, Scheduled


class Adaptive(Scheduled):
    """Subclasses compute the factors, on all processes from the same losses: their means over the processes.

    Args:
        weights: the planned ones, as for :class:`research.weighting.Scheduled`.
    """

    def __init__(self, weights: Plan | None = None) -> None:
        super().__init__(weights or {})
        self.places: dict[str, int] = {}

    def build(
        self, objectives: Sequence[str], shared: Sequence[list[nn.Parameter]], parameters: Sequence[nn.Parameter]
    ) -> None:
        if not self.places:
            self.places = {name: i for i, name in enumerate(objectives)}
            self.start(len(objectives))

    def start(self, count: int) -> None:
        """Register buffers for what is remembered of so many objectives."""

    @abstractmethod
    def factors(self, losses: Tensor, places: list[int]) -> Tensor:
        """The factors (k,) of a step's k objectives.

        Args:
            losses: (k,), detached.
            places: which of all objectives they are.
        """

    def weights_of(self, losses: Mapping[str, Tensor], progress: float) -> Weights:
        self.float()  # a module that is cast to half precision takes its buffers along, and these count and sum
        values = averaged(torch.stack([loss.detach().float() for loss in losses.values()]))
        factors = self.factors(values, [self.places[name] for name in losses])
        return {n: self.weight(n, progress) * factor for n, factor in zip(losses, factors, strict=True)}
