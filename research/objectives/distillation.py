"""Distillation of logits (Hinton et al. 2015, arXiv:1503.02531), by a divergence of choice."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassCohenKappa

from research.errors import UserError
from research.objectives.base import Objective, check_classes
from research.objectives.divergence import Divergence, ForwardKL
from research.objectives.token_prediction import labelled
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None,
    alpha: float,
    temperature: float,
    divergence: Divergence,
) -> Tensor:
    """``alpha CE(y_s, y) + (1 - alpha) T^2 D(z_s / T, z_t / T)``, the mean over (N, C) logits z; labels (N,)."""
    soft = temperature**2 * divergence(student_logits / temperature, teacher_logits / temperature).mean()
    if alpha == 0:
        return soft
    assert labels is not None
    return alpha * F.cross_entropy(student_logits, labels) + (1 - alpha) * soft


class Distillation(Objective):
    """Learn the teacher's distribution over the classes of a task, or over the vocabulary.

    Of classes it measures beside the loss Cohen's kappa of the teacher's with the student's, ``kappa_student``, and
    with the labels of ``stream`` where these are the task's, ``kappa_labels``: 1 where all agree, 0 by chance.

    Args:
        stream: any stream; without labels ``alpha`` must be 0.
        task: the labelled stream whose classes are distilled; the default is ``stream`` itself.
        tokens: an objective's view to distil at instead of classes, at the positions that carry its loss, such as
            ``{class_path: research.data.masking.Masked}``; equal settings share the forward of that objective.
        temperature: above 0.
        alpha: weight of the true labels, in [0, 1].
        divergence: how far the two distributions are apart; the default is the forward KL.
    """

    needs_teacher = True
    separable = True

    def __init__(
        self,
        stream: str,
        task: str | None = None,
        tokens: View | None = None,
        temperature: float = 2.0,
        alpha: float = 0.0,
        divergence: Divergence | None = None,
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha}; it must lie in [0, 1]")
        if tokens is not None and task is not None:
            raise UserError("distillation is over the classes of a task or over tokens, not both")
        self.task, self.view = task or stream, tokens or Clean()
        self.over_tokens, self.temperature, self.alpha = tokens is not None, temperature, alpha
        self.divergence = divergence or ForwardKL()
        self.kappas: Any = nn.ModuleDict()  # of the teacher's classes with others', by whose these are

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        key = f"model.objectives.{name}"
        if self.over_tokens:
            return
        check_classes(key, self.task, streams, ", or tokens to a view")
        if self.alpha and self.task != self.stream:
            raise UserError(f"{key}: alpha is {self.alpha}, but stream '{self.stream}' has no labels of '{self.task}'")

    def probes(self) -> tuple[str, ...]:
        return () if self.over_tokens else (self.task,)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        if not self.over_tokens:
            classes = len(streams[self.task].labels)
            student.add_head(self.task, classes)
            others = ("student", "labels") if self.task == self.stream else ("student",)
            self.kappas.update({other: MulticlassCohenKappa(classes) for other in others})

    def terms(self, batch: "Batch") -> float | Tensor:
        return labelled(batch.views[self.view]) if self.over_tokens else len(batch)

    def forward(self, step: Step) -> Tensor:
        if not self.over_tokens:
            return self._loss(step, *self._class_logits(step))
        theirs, (head, labels) = step.taught(self.stream, self.view), step.vocabulary(self.stream, self.view)
        soft = self.temperature**2 * theirs.divergence(head, self.divergence, self.temperature)
        return soft if self.alpha == 0 else self.alpha * head.cross_entropy(labels) + (1 - self.alpha) * soft

    def measure(self, step: Step) -> None:
        if self.over_tokens:
            super().measure(step)
            return
        mine, theirs = self._class_logits(step)
        self.mean.update(self._loss(step, mine, theirs).float(), weight=len(mine))
        for other, kappa in self.kappas.items():
            kappa.update(mine.argmax(1) if other == "student" else step.labels(self.stream), theirs.argmax(1))

    def results(self) -> dict[str, float]:
        figures = super().results()
        for other, kappa in self.kappas.items():
            figures[f"kappa_{other}"] = float(kappa.compute().nan_to_num())  # a single class agrees by chance
            kappa.reset()
        return figures

    def _class_logits(self, step: Step) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's, both (N, C)."""
        mine = step.student.class_logits(step.encoded(self.stream, self.view), self.task)
        return mine, step.taught(self.stream, self.view).class_logits(self.task)

    def _loss(self, step: Step, mine: Tensor, theirs: Tensor) -> Tensor:
        labels = step.labels(self.stream) if self.alpha else None
        return distillation_loss(mine, theirs, labels, self.alpha, self.temperature, self.divergence)
