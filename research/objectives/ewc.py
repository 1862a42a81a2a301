"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796)."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from research.data.rows import rows_of
from research.errors import UserError
from research.objectives.anchored import Anchored, on_device_of, trained
from research.objectives.base import Objective, Read
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


class EWC(Anchored):
    """Hold fast the parameters that an objective, such as the language model of a corpus, depends on.

    ``strength/2 sum_i F_i (w_i - w_0,i)^2`` over the backbone, in every step. F, the diagonal of the empirical Fisher
    information, is the mean over rows of the squared gradient of their loss, at the first weights and without dropout.
    On held-out data it measures that objective, and so what is forgotten.

    Args:
        objective: what must not be forgotten; its stream is one of ``data.streams``.
        examples: rows of that stream's training batches to estimate F from, at least 1; each is one backward pass,
            once before the first step.
        strength: at least 0.
    """

    def __init__(self, objective: Objective, examples: int = 256, strength: float = 1.0) -> None:
        super().__init__(objective.stream)
        if examples < 1:
            raise UserError(f"examples is {examples}; it must be at least 1")
        if strength < 0:
            raise UserError(f"strength is {strength}; it must be at least 0")
        self.objective, self.examples, self.strength = objective, examples, strength
        self.reads = objective.reads  # type: ignore[misc]

    def views(self) -> tuple[View, ...]:
        return self.objective.views()

    def taught_views(self) -> tuple[View, ...]:
        return self.objective.taught_views()

    def probes(self) -> tuple[str, ...]:
        return self.objective.probes()

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        self.objective.check(f"{name}.init_args.objective", family, streams, teacher)
        if (info := streams[self.stream]).packed and info.problem != "unlabelled":
            key = f"model.objectives.{name}"
            raise UserError(f"{key}: EWC needs one example a row; data.streams.{self.stream} packs several")

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        self.objective.build(student, streams)

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        super().prepare(student, teacher, read)
        self.objective.prepare(student, teacher, read)
        weights, views, reads = trained(student), {self.stream: self.views()}, {self.stream: self.reads}
        self.fisher = [torch.zeros_like(weight) for weight in weights]
        was_training = student.training
        student.eval()
        self.objective.eval()  # some count the batches that they train on
        seen = 0
        shown = dict.fromkeys([*self.views(), *self.taught_views()])
        rows = (row for batch in read(self.stream, *shown) for row in rows_of(batch))
        for row in islice(rows, self.examples):
            step = Step({self.stream: row.to(self.fisher[0].device)}, student, teacher, views, reads)
            gradients = torch.autograd.grad(self.objective(step), weights, materialize_grads=True)
            torch._foreach_addcmul_(self.fisher, gradients, gradients)
            seen += 1
        if not any(square.any() for square in self.fisher):
            told = f"{type(self.objective).__name__} on one row has no gradient, so EWC would hold nothing fast"
            raise UserError(f"model.objectives: {told}; give another objective")
        torch._foreach_div_(self.fisher, seen)
        student.train(was_training)
        self.objective.train()

    def forward(self, step: Step) -> Tensor:
        self.fisher = on_device_of(trained(step.student), self.fisher)
        return self.strength * self.pulled(step.student, self.fisher)

    def measure(self, step: Step) -> None:
        self.objective.measure(step)

    def results(self) -> dict[str, float]:
        return self.objective.results()
