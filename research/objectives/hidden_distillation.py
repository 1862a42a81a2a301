"""Distillation of hidden states: their direction (DistilBERT) or their values (FitNets)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from research.objectives.layers import LayerDistillation
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def hidden_loss(student: Tensor, teacher: Tensor, loss: Literal["cosine", "mse"]) -> Tensor:
    """``1 - cos(h_s, h_t)`` or ``|h_s - h_t|^2 / H``, the mean over tokens: (M, H) and (M, H) to a scalar."""
    if loss == "cosine":
        return (1 - F.cosine_similarity(student, teacher, dim=-1)).mean()
    return F.mse_loss(student, teacher)


class HiddenDistillation(LayerDistillation):
    """Bring the student's token states close to the teacher's, the mean over the joined layers.

    ``cosine`` of the last layer is DistilBERT's (Sanh et al. 2019, arXiv:1910.01108), ``mse`` of inner ones that of
    FitNets (Romero et al. 2014, arXiv:1412.6550). Where the widths differ, each layer learns a linear map to the
    teacher's.

    Args:
        stream: any stream.
        loss: ``cosine`` or ``mse``.
        layers: as for :class:`LayerDistillation`; the default joins the last of both.
        view: what both read; the default is the text as it is.
    """

    reads = frozenset({"hidden"})

    def __init__(
        self,
        stream: str,
        loss: Literal["cosine", "mse"] = "cosine",
        layers: dict[int, int] | None = None,
        view: View | None = None,
    ) -> None:
        super().__init__(stream, layers, view)
        self.loss = loss

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        super().build(student, streams)
        self.project(student, *map(str, self.layers or [LAST]))

    def forward(self, step: Step) -> Tensor:
        losses = []
        for student, teacher, real, layers in self.stacks(step):
            for mine, theirs in layers.items():
                hidden = self.projected(student.hidden[mine][real], str(mine) if self.layers else LAST)
                losses.append(hidden_loss(hidden, teacher.hidden[theirs][real], self.loss))
        return torch.stack(losses).mean()


LAST = "last"  # the projection of the last layer, whose number the stacks of an encoder-decoder need not share
