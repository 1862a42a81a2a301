"""Regression of a number, such as the similarity of a pair."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanSquaredError, MetricCollection, PearsonCorrCoef, SpearmanCorrCoef

from research.objectives.base import Objective
from research.step import Clean, Step

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


class Regression(Objective):
    """Mean squared error of the label, standardised by the training labels' mean and standard deviation.

    Args:
        stream: a task with problem ``regress``.
    """

    problems = ("regress",)

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.metrics = MetricCollection(
            {"mse": MeanSquaredError(), "pearson": PearsonCorrCoef(), "spearman": SpearmanCorrCoef()}
        )

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        student.add_head(self.stream, 1)

    def forward(self, step: Step) -> Tensor:
        return F.mse_loss(self._predicted(step), step.labels(self.stream))

    def measure(self, step: Step) -> None:
        self.metrics.update(self._predicted(step).float(), step.labels(self.stream))

    def results(self) -> dict[str, float]:
        figures = {name: float(value) for name, value in self.metrics.compute().items()}
        self.metrics.reset()
        return {"loss": figures.pop("mse"), **figures}

    def _predicted(self, step: Step) -> Tensor:
        return step.student.class_logits(step.encoded(self.stream, Clean()), self.stream).squeeze(-1)
