"""TinyBERT's distillation of Transformers (Jiao et al. 2019, arXiv:1909.10351)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from research.objectives.layers import LayerDistillation, same_heads, uniform
from research.step import Step

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.recording import Attention
    from research.models.student import Student


def attention_loss(student: "Attention", teacher: "Attention", real: Tensor) -> Tensor:
    """``|A_s - A_t|^2`` of scores A before the softmax, over heads and what a query sees, the mean over real queries.

    Each token counts alike, however long its text, so batches of unequal lengths can be weighed by their tokens. The
    maps are (N, heads, L, L); real (N, L).
    """
    seen = student.visible()
    squares = (student.scores() - teacher.scores()).square().mean(1, keepdim=True).masked_fill(~seen, 0)
    return (squares.sum(-1) / seen.sum(-1).clamp_min(1))[:, 0][real].mean()


class TinyBERT(LayerDistillation):
    """``|E_s W_e - E_t|^2 + sum_m (|H_s^m W_h - H_t^g(m)|^2 + |A_s^m - A_t^g(m)|^2)``, each the mean over its elements,
    and for A over what each token sees first.

    E are embeddings, H hidden states, A attention scores and g the map of layers; W are learnt, and left out where the
    widths are equal. The paper's last term, on logits, is :class:`research.objectives.Distillation`.

    Args:
        stream: any stream; both models need the same number of heads.
        layers: as for :class:`LayerDistillation`; the default takes the teacher's layers evenly, and the embeddings.
        view: what both read; the default is the text as it is.
    """

    reads = frozenset({"hidden", "attention"})

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        super().build(student, streams)
        assert self.config is not None
        same_heads(self, student.config, self.config)
        self.project(student, "embeddings", "states")

    def default(self, student: int, teacher: int) -> dict[int, int]:
        return uniform(student, teacher)

    def forward(self, step: Step) -> Tensor:
        losses = []
        for student, teacher, real, layers in self.stacks(step):
            for mine, theirs in layers.items():
                hidden = self.projected(student.hidden[mine][real], "states" if mine else "embeddings")
                losses.append(F.mse_loss(hidden, teacher.hidden[theirs][real]))
                if mine and theirs:
                    pair = student.attention[mine - 1], teacher.attention[theirs - 1]
                    losses.append(checkpoint(attention_loss, *pair, real, use_reentrant=False))
        return torch.stack(losses).sum()
