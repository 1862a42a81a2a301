"""Pseudo-labels: what a weak view of unlabelled text makes sure is what a strong view of it has to say."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric

from research.errors import UserError
from research.objectives.base import Objective, Read, check_classes
from research.objectives.distribution_alignment import aligned
from research.ranks import of_all_ranks
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


def pseudo_label_loss(logits: Tensor, targets: Tensor, confident: Tensor) -> Tensor:
    """``1/N sum_i 1[i is confident] KL(q_i || softmax(z_i))``, for a one-hot q_i the cross entropy.

    Args:
        logits: z (N, C), of the strong view.
        targets: q (N, C) distributions, without a gradient.
        confident: (N,) bool; the others count in N alone, so that the loss grows with what is known.
    """
    divergence = F.kl_div(F.log_softmax(logits, dim=-1), targets.to(logits.dtype), reduction="none").sum(-1)
    return (divergence * confident).mean()


class PseudoLabels(Objective):
    """What FixMatch, UDA and FreeMatch have in common; each says what the targets are and which texts count.

    The guess is the student's own in the same forward, its dropout included, or the teacher's. It carries no gradient.

    Args:
        stream: any stream; labels that it may have are not read.
        task: the labelled stream whose classes are guessed.
        strong: the view that learns, an augmentation.
        weak: the view that is guessed from; the default is the text as it is.
        threshold: least probability of a guess that counts, in [0, 1).
        align: hold the guesses to the classes' shares among the task's labelled texts, by their running mean.
        decay: of running means, in [0, 1).
        from_teacher: the teacher guesses, such as an average of the student over time.
    """

    prior: Tensor
    marginal: Tensor

    def __init__(
        self,
        stream: str,
        task: str,
        strong: View,
        weak: View | None = None,
        threshold: float = 0.95,
        align: bool = False,
        decay: float = 0.99,
        from_teacher: bool = False,
    ) -> None:
        super().__init__(stream)
        for name, value in (("threshold", threshold), ("decay", decay)):
            if not 0 <= value < 1:
                raise UserError(f"{name} is {value}; it must lie in [0, 1)")
        self.task, self.strong, self.weak = task, strong, weak or Clean()
        self.threshold, self.align, self.decay, self.from_teacher = threshold, align, decay, from_teacher
        if self.weak == strong and not from_teacher:
            raise UserError("strong equals weak: a text would learn what it says already; give strong another view")
        self.share = MeanMetric()

    @abstractmethod
    def targets(self, guess: Tensor) -> Tensor:
        """The distributions (N, C) to learn, from guessed ones (N, C)."""

    def confident(self, guess: Tensor) -> Tensor:
        """(N,) bool: which guesses (N, C) count."""
        return guess.amax(-1) >= self.threshold

    def observe(self, guess: Tensor) -> None:
        """Move the running means by the guesses (N, C) of a training batch."""
        if self.align:
            self.marginal.lerp_(of_all_ranks(guess).mean(0), 1 - self.decay)

    def views(self) -> tuple[View, ...]:
        return (self.strong,) if self.from_teacher else (self.weak, self.strong)

    def taught_views(self) -> tuple[View, ...]:
        return (self.weak,) if self.from_teacher else ()

    def probes(self) -> tuple[str, ...]:
        return (self.task,) if self.from_teacher else ()

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        check_classes(f"model.objectives.{name}", self.task, streams)
        if self.from_teacher and teacher is None:
            raise UserError(f"model.objectives.{name}: from_teacher needs model.teacher")

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        classes = len(streams[self.task].labels)
        student.add_head(self.task, classes)
        for name in ("prior", "marginal"):
            self.register_buffer(name, torch.full((classes,), 1 / classes))

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        if self.align:
            labels = torch.cat([batch.labels.cpu() for batch in read(self.task, Clean()) if batch.labels is not None])
            counts = labels.bincount(minlength=len(self.prior))
            self.prior.copy_(counts / counts.sum())
            self.marginal.copy_(self.prior)

    def forward(self, step: Step) -> Tensor:
        return self._loss(step)[0]

    def measure(self, step: Step) -> None:
        loss, confident = self._loss(step)
        self.mean.update(loss.float(), weight=len(confident))
        self.share.update(confident.float())

    def results(self) -> dict[str, float]:
        share = self.share.compute().item()
        self.share.reset()
        return {**super().results(), "confident": share}

    def _loss(self, step: Step) -> tuple[Tensor, Tensor]:
        """The loss, and which texts (N,) count in it."""
        guess = self._guessed(step).detach().to(self.marginal.dtype).softmax(-1)
        if self.training:
            self.observe(guess)
        if self.align:
            guess = aligned(guess, self.prior, self.marginal)
        confident = self.confident(guess)
        logits = step.student.class_logits(step.encoded(self.stream, self.strong), self.task)
        return pseudo_label_loss(logits, self.targets(guess), confident), confident

    def _guessed(self, step: Step) -> Tensor:
        if self.from_teacher:
            return step.taught(self.stream, self.weak).class_logits(self.task)
        return step.student.class_logits(step.encoded(self.stream, self.weak), self.task)
