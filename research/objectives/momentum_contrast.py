"""Contrast with a queue of earlier keys from a slowly moving encoder (MoCo, He et al. 2020, arXiv:1911.05722)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.objectives.base import Objective
from research.ranks import of_all_ranks
from research.step import Clean, Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.student import Student
    from research.models.teachers import Teacher


def queue_contrast(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """``-log exp(q_i.k_i / tau) / (exp(q_i.k_i / tau) + sum_j exp(q_i.m_j / tau))``, the mean over i.

    Args:
        queries: (N, H) unit embeddings q.
        keys: (N, H) unit embeddings k of the same texts.
        queue: (K, H) unit embeddings m of earlier texts; rows of zeros are empty places and do not count.
        temperature: tau, above 0.
    """
    own = (queries * keys).sum(1, keepdim=True)
    earlier = (queries @ queue.T).masked_fill(~queue.any(1), -torch.inf)
    labels = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    return F.cross_entropy(torch.cat([own, earlier], dim=1) / temperature, labels)


class MomentumContrast(Objective):
    """Pull each text to the teacher's embedding of it, push it from those of the last ``queue`` texts of all ranks.

    The teacher is the key encoder: :class:`research.models.EMATeacher` follows the student, as in MoCo.

    Args:
        stream: any stream; the number of negatives does not depend on its batch size.
        temperature: tau, above 0.
        queue: keys that are kept, at least 1. The checkpoint holds them.
        view: what the student embeds; the default is the text as it is, under dropout.
        other_view: what the teacher embeds; the default is the text as it is.
    """

    needs_teacher = True
    queue: Tensor

    def __init__(
        self,
        stream: str,
        temperature: float = 0.05,
        queue: int = 4096,
        view: View | None = None,
        other_view: View | None = None,
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        if queue < 1:
            raise UserError(f"queue is {queue}; it must be at least 1")
        self.temperature, self.length = temperature, queue
        self.view, self.other_view = view or Clean(), other_view or Clean()

    def views(self) -> tuple[View, ...]:
        return (self.view,) if self.view == self.other_view else (self.view, self.other_view)

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        if teacher is None:
            raise UserError(f"model.objectives.{name}: its keys need model.teacher, research.models.EMATeacher")
        super().check(name, family, streams, teacher)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        self.register_buffer("queue", torch.zeros(self.length, student.width))

    def forward(self, step: Step) -> Tensor:
        queries = F.normalize(step.student.embedding(step.encoded(self.stream, self.view)), dim=-1)
        with torch.no_grad():
            encoded = step.taught(self.stream, self.other_view).encoded
            keys = F.normalize(step.student.embedding(encoded), dim=-1).to(queries.dtype)
        loss = queue_contrast(queries, keys, self.queue.to(queries.dtype), self.temperature)
        if torch.is_grad_enabled():
            self.queue = torch.cat([of_all_ranks(keys).to(self.queue.dtype), self.queue])[: self.length]
        return loss
