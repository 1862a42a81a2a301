"""Distillation across tokenizers by sorted probabilities (Boizard et al. 2024, arXiv:2402.12030)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from research.data.masking import NextToken
from research.errors import UserError
from research.models.teachers.aligned import AlignedAnswer, AlignedTeacher
from research.objectives.base import Objective
from research.objectives.token_prediction import labelled
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.teachers import Teacher


def sorted_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """``sum_i |p_s(i) - p_t(i)|``, the i-th largest of each: probabilities (m, V) and (m, V') to (m,).

    The 1-Wasserstein distance where it costs the same to move mass from any token to any other; the shorter
    vocabulary is filled up with zeros.
    """
    width = max(student.shape[-1], teacher.shape[-1])
    mine, theirs = (F.pad(p.sort(-1, descending=True).values, (0, width - p.shape[-1])) for p in (student, teacher))
    return (mine - theirs).abs().sum(-1)


class ULD(Objective):
    """Match the shape of the teacher's next-token distribution, whatever its tokens are.

    The paper compares the i-th tokens of both. Here they are compared where both have read the same text.

    Args:
        stream: any text for a decoder.
        view: what predicts next tokens, shared with the objective of equal settings.
        temperature: above 0.
    """

    families = ("decoder",)

    def __init__(self, stream: str, view: View | None = None, temperature: float = 1.0) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        self.view, self.temperature = view or NextToken(), temperature

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        super().check(name, family, streams, teacher)
        if not isinstance(teacher, AlignedTeacher) or teacher.student.family.name != "decoder":
            raise UserError(f"model.objectives.{name}: needs a decoder as model.teacher, of class AlignedTeacher")

    def terms(self, batch: "Batch") -> Tensor:
        return labelled(batch.views[self.view])

    def forward(self, step: Step) -> Tensor:
        head, _ = step.vocabulary(self.stream, self.view)
        theirs = step.taught(self.stream, self.view)
        assert isinstance(theirs, AlignedAnswer)
        return theirs.compare(head, lambda s, t: sorted_distance(s.exp(), t.exp()), self.temperature)
