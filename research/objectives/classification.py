"""Classification: cross entropy of one class, or binary cross entropy of several."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassMatthewsCorrCoef,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelMatthewsCorrCoef,
)

from research.errors import UserError
from research.models.starts import Start
from research.objectives.base import Objective, Read
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


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


def class_metrics(classes: int, multilabel: bool = False) -> MetricCollection:
    """Figures of probabilities (N, C) against labels as :func:`classification_loss` takes them.

    Accuracy, or the share of texts with all labels right; macro F1; Matthews' correlation, in [-1, 1], of the classes,
    or of all decisions; and of one class the expected calibration error: ``sum_b n_b / N |accuracy_b - confidence_b|``
    over 15 bins b of equal width of the highest probability (Guo et al. 2017, arXiv:1706.04599).
    """
    if multilabel:
        return MetricCollection(
            {
                "accuracy": MultilabelExactMatch(classes),
                "macro_f1": MultilabelF1Score(classes),
                "mcc": MultilabelMatthewsCorrCoef(classes),
            }
        )
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "macro_f1": MulticlassF1Score(classes),
            "mcc": MulticlassMatthewsCorrCoef(classes),
            "calibration_error": MulticlassCalibrationError(classes, n_bins=15),
        }
    )


class Classification(Objective):
    """The labels of a task from the pooled embedding, by the stream's linear head.

    Args:
        stream: a task with problem ``classify`` or ``multilabel``.
        class_weights: weight above 0 of each class by its label, 1 where not named.
        label_smoothing: in [0, 1).
        view: what it reads in training, such as an augmentation; the default is the text as it is.
        start: what the head begins with, for problem ``classify``; the default is small random weights.
        head: another stream, whose head and classes this one shares, for problem ``classify``: its own labels, such as
            pseudo-labels, are among that stream's.
    """

    problems: ClassVar[tuple[str, ...]] = ("classify", "multilabel")
    separable = True

    def __init__(
        self,
        stream: str,
        class_weights: dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        view: View | None = None,
        start: Start | None = None,
        head: str | None = None,
    ) -> None:
        super().__init__(stream)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing is {label_smoothing}; it must lie in [0, 1)")
        self.named_weights, self.label_smoothing = class_weights, label_smoothing
        if start is not None and head not in (None, stream):
            raise UserError(f"start is for a stream's own head; {stream} shares that of {head}")
        self.view, self.head_start, self.head = view or Clean(), start, head or stream
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        self.classes: Tensor | None  # (labels of the stream,) int64: what they are among the head's, where these differ
        self.register_buffer("classes", None, persistent=False)

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        if self.head != self.stream:
            problems = {n: streams[n].problem for n in (self.stream, self.head) if n in streams}
            if list(problems.values()) != ["classify"] * 2:
                raise UserError(f"model.objectives.{name}: head joins two streams of problem classify, not {problems}")
        if self.head_start is not None and streams[self.stream].problem != "classify":
            raise UserError(f"model.objectives.{name}: start is for problem classify; {self.stream} is multilabel")

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        info = streams[self.stream]
        self.labels = streams[self.head].labels
        student.add_head(self.head, len(self.labels))
        if unknown := set(info.labels) - set(self.labels):
            raise UserError(f"labels {sorted(unknown)} of stream {self.stream} are none of {self.head}: {self.labels}")
        if info.labels != self.labels:
            classes = torch.tensor([self.labels.index(label) for label in info.labels])
            self.register_buffer("classes", classes, persistent=False)
        if unknown := set(self.named_weights or {}) - set(self.labels):
            raise UserError(f"class_weights of stream {self.stream} name {sorted(unknown)}; labels: {self.labels}")
        if self.named_weights:
            weights = torch.tensor([self.named_weights.get(label, 1.0) for label in self.labels])
            self.register_buffer("class_weights", weights, persistent=False)
        self.metrics = class_metrics(len(self.labels), info.problem == "multilabel")

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        if self.head_start is not None:
            self.head_start(student, self.stream, self.labels, read)

    def terms(self, batch: "Batch") -> float | Tensor:
        """Classes of unequal weight count by it, as in :func:`torch.nn.functional.cross_entropy`."""
        return len(batch) if batch.labels is None else self._terms(self._classes(batch.labels))

    def forward(self, step: Step) -> Tensor:
        return self.loss(self._logits(step), self._labels(step))

    def measure(self, step: Step) -> None:
        self.gather(self._logits(step), self._labels(step))

    def gather(self, logits: Tensor, labels: Tensor) -> None:
        """Update the metrics with logits (N, C) and labels as :func:`classification_loss` takes them."""
        self.mean.update(self.loss(logits, labels), weight=self._terms(labels))
        p = logits.float().softmax(-1) if labels.dim() == 1 else logits.float().sigmoid()
        self.metrics.update(p.clamp(max=1 - 1e-7), labels.long())  # torchmetrics gives a confidence of 1 its own bin

    def results(self) -> dict[str, float]:
        figures: dict[str, Tensor] = {"loss": self.mean.compute(), **self.metrics.compute()}
        self.mean.reset()
        self.metrics.reset()
        return {name: float(value) for name, value in figures.items()}

    def _logits(self, step: Step) -> Tensor:
        return step.student.class_logits(step.encoded(self.stream, self.view), self.head)

    def _labels(self, step: Step) -> Tensor:
        return self._classes(step.labels(self.stream))

    def _classes(self, labels: Tensor) -> Tensor:
        return labels if self.classes is None else self.classes.to(labels.device)[labels]

    def _terms(self, labels: Tensor) -> float | Tensor:
        """Of labels as :func:`classification_loss` takes them."""
        if self.class_weights is None or labels.dim() > 1:
            return len(labels)
        return self.class_weights.to(labels.device)[labels].sum()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """:func:`classification_loss` with the settings of the objective."""
        return classification_loss(logits, labels, self.class_weights, self.label_smoothing)
