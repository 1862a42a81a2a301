"""Classification: cross entropy of one class, or binary cross entropy of several."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from research.errors import UserError
from research.objectives.base import Objective
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def classification_loss(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross entropy of logits (N, C).

    Labels are (N,) int64 classes, or (N, C) indicators in {0, 1} for several labels at once, where each class is a
    binary decision, ``class_weights`` (C,) weighs its positive side, and smoothing moves targets to 1/2.
    """
    if labels.dim() == 1:
        return F.cross_entropy(logits, labels, weight=class_weights, label_smoothing=label_smoothing)
    targets = labels * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), pos_weight=class_weights)


class Classification(Objective):
    """The labels of a task from the pooled embedding, by the stream's linear head.

    Args:
        stream: a task with problem ``classify`` or ``multilabel``.
        class_weights: weight above 0 of each class by its label, 1 where not named.
        label_smoothing: in [0, 1).
        view: what it reads in training, such as an augmentation; the default is the text as it is.
    """

    problems = ("classify", "multilabel")

    def __init__(
        self,
        stream: str,
        class_weights: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        view: View | None = None,
    ) -> None:
        super().__init__(stream)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing is {label_smoothing}; it must lie in [0, 1)")
        self.named_weights, self.label_smoothing = class_weights, label_smoothing
        self.view = view or Clean()
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        info = streams[self.stream]
        student.add_head(self.stream, len(info.labels))
        if unknown := set(self.named_weights or {}) - set(info.labels):
            raise UserError(f"class_weights of stream {self.stream} name {sorted(unknown)}; labels: {info.labels}")
        if self.named_weights:
            weights = torch.tensor([self.named_weights.get(label, 1.0) for label in info.labels])
            self.register_buffer("class_weights", weights, persistent=False)
        n = len(info.labels)
        self.metrics = MetricCollection(
            {"accuracy": MultilabelExactMatch(num_labels=n), "macro_f1": MultilabelF1Score(num_labels=n)}
            if info.problem == "multilabel"
            else {"accuracy": MulticlassAccuracy(n, average="micro"), "macro_f1": MulticlassF1Score(n)}
        )

    def forward(self, step: Step) -> Tensor:
        return self.loss(self._logits(step), step.labels(self.stream))

    def measure(self, step: Step) -> None:
        logits = self._logits(step)
        labels = step.labels(self.stream)
        self.mean.update(self.loss(logits, labels), weight=len(labels))
        scores = logits.float() if labels.dim() == 1 else logits.float().sigmoid()
        self.metrics.update(scores, labels if labels.dim() == 1 else labels.long())

    def results(self) -> dict[str, float]:
        figures: dict[str, Tensor] = {"loss": self.mean.compute(), **self.metrics.compute()}
        self.mean.reset()
        self.metrics.reset()
        return {name: float(value) for name, value in figures.items()}

    def _logits(self, step: Step) -> Tensor:
        return step.student.class_logits(step.encoded(self.stream, self.view), self.stream)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """:func:`classification_loss` with the settings of the objective."""
        return classification_loss(logits, labels, self.class_weights, self.label_smoothing)
