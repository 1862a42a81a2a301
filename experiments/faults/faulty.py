"""An objective that goes wrong by itself."""

import torch
from torch import Tensor

from research.objectives import Classification
from research.step import Step


class Faulty(Classification):
    """Its loss is not finite in the batches with the first of two examples, and leaps in those with the second."""

    def __init__(self, stream: str, not_finite: int = 3, spike: int = 7) -> None:
        super().__init__(stream)
        self.not_finite, self.spike = not_finite, spike

    def forward(self, step: Step) -> Tensor:
        loss, index = super().forward(step), step.batches[self.stream].index
        assert index is not None
        if self.not_finite in index:
            return loss * torch.nan
        return loss * 1000 if self.spike in index else loss
