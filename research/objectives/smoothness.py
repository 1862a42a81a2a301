"""Two encodings of one text should be predicted alike: what R-Drop and SMART have in common."""

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.objectives.base import Objective, check_classes
from research.step import Clean, Encoded, Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


def jeffreys(first: Tensor, second: Tensor) -> Tensor:
    """``KL(p || q) + KL(q || p) = sum_c (p_c - q_c) (log p_c - log q_c)`` of logits (N, C), (N, C) to (N,)."""
    log_p, log_q = F.log_softmax(first, dim=-1), F.log_softmax(second, dim=-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


class Smoothness(Objective, ABC):
    """Compares what the student predicts from two encodings, over the classes of a task or over the vocabulary.

    Args:
        stream: any stream; no label of it is read.
        task: the labelled stream whose classes are predicted; the default is ``stream`` itself.
        tokens: a view to predict the tokens of instead, at the positions that carry its loss, such as
            ``{class_path: research.data.masking.Masked}``.
    """

    def __init__(self, stream: str, task: str | None = None, tokens: View | None = None) -> None:
        super().__init__(stream)
        if tokens is not None and task is not None:
            raise UserError("task and tokens exclude each other: predictions are of classes or of tokens")
        self.task, self.over_tokens, self.view = task or stream, tokens is not None, tokens or Clean()

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        if not self.over_tokens:
            check_classes(f"model.objectives.{name}", self.task, streams, ", or tokens to a view")

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        if not self.over_tokens:
            student.add_head(self.task, len(streams[self.task].labels))

    def measure(self, step: Step) -> None:
        """Held-out data are encoded without dropout and without gradients: there is nothing to compare."""

    def results(self) -> dict[str, float]:
        return {}

    def difference(self, step: Step, other: Encoded) -> Tensor:
        """The mean over examples or tokens of :func:`jeffreys`, between the view and another encoding of it."""
        student = step.student
        if self.over_tokens:
            head, _ = step.vocabulary(self.stream, self.view)
            return head.divergence(student.vocabulary_head(other.at_labels()[0]), jeffreys)
        mine = student.class_logits(step.encoded(self.stream, self.view), self.task)
        return jeffreys(mine, student.class_logits(other, self.task)).mean()
