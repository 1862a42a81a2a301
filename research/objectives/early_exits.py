"""A classifier on each layer, so that a text can leave early (DeeBERT: Xin et al. 2020, arXiv:2004.12993)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from research.objectives.base import Objective
from research.step import Clean, Step

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def exit_name(stream: str, layer: int) -> str:
    """What the head of a stream on a layer, counted from 1, is called among the student's heads."""
    return f"{stream}@{layer}"


class EarlyExits(Objective):
    """Cross entropy of a head on the pooled states of each layer but the last, the mean over layers.

    The last layer's head is that of :class:`research.objectives.Classification`, which the stream needs beside it.
    ``research.inference.load(path, exit_below=H)`` answers by the first layer whose entropy is below H.

    Args:
        stream: a task with problem ``classify``.
        detach: let the heads alone learn, and leave the layers to the other objectives, as in the paper.
    """

    families: ClassVar[tuple[str, ...]] = ("encoder",)
    problems: ClassVar[tuple[str, ...]] = ("classify",)
    reads: ClassVar[frozenset[str]] = frozenset({"hidden"})

    def __init__(self, stream: str, detach: bool = True) -> None:
        super().__init__(stream)
        self.detach = detach
        self.accuracy: Any = nn.ModuleList()

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        classes = len(streams[self.stream].labels)
        for layer in range(1, student.depth):
            student.add_head(exit_name(self.stream, layer), classes)
            self.accuracy.append(MulticlassAccuracy(classes, average="micro"))

    def forward(self, step: Step) -> Tensor:
        labels = step.labels(self.stream)
        return torch.stack([F.cross_entropy(logits, labels) for logits in self._logits(step)]).mean()

    def measure(self, step: Step) -> None:
        super().measure(step)
        for accuracy, logits in zip(self.accuracy, self._logits(step), strict=True):
            accuracy.update(logits, step.labels(self.stream))

    def results(self) -> dict[str, float]:
        figures = super().results()
        for layer, accuracy in enumerate(self.accuracy, 1):
            figures[f"accuracy_{layer}"] = float(accuracy.compute())
            accuracy.reset()
        return figures

    def _logits(self, step: Step) -> list[Tensor]:
        """(N, C) of each layer but the last."""
        student, encoded = step.student, step.encoded(self.stream, Clean())
        found = []
        for layer, hidden in enumerate(encoded.stacks[0].hidden[1:-1], 1):
            states = hidden.detach() if self.detach else hidden
            found.append(student.class_logits(replace(encoded, memory=states), exit_name(self.stream, layer)))
        return found
