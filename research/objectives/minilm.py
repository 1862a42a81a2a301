"""Distillation of self-attention relations (MiniLM, arXiv:2002.10957; MiniLMv2, arXiv:2012.15828)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from research.errors import UserError
from research.objectives.divergence import forward_kl
from research.objectives.layers import LayerDistillation, same_heads
from research.step import Step, View

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from research.data.stream import StreamInfo
    from research.models.recording import Attention
    from research.models.student import Student


def relation(x: Tensor, heads: int | None) -> Tensor:
    """``X X^T / sqrt(d)`` of queries, keys or values X (N, h, L, d), cut anew into ``heads``: (N, heads, L, L)."""
    if heads is not None:
        x = x.transpose(1, 2).flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2)
    return x @ x.mT / math.sqrt(x.shape[-1])


def relation_loss(student: "Attention", teacher: "Attention", real: Tensor, heads: int | None) -> Tensor:
    """The sum over relations R of ``KL(softmax(R_t) || softmax(R_s))``, each the mean over heads and real queries.

    The relations are attention (Q K^T) and that of the values (V V^T); with ``heads`` they are those of queries, keys
    and values, and d may differ as well. Keys out of a query's sight count for nothing. real (N, L).
    """
    if heads is None:
        pairs = [(student.scores(), teacher.scores()), (relation(student.values, None), relation(teacher.values, None))]
    else:
        names = ("queries", "keys", "values")
        pairs = [(relation(getattr(student, n), heads), relation(getattr(teacher, n), heads)) for n in names]
    hidden = ~student.visible()

    def divergence(mine: Tensor, theirs: Tensor) -> Tensor:
        rows = (r.masked_fill(hidden, torch.finfo(r.dtype).min).transpose(1, 2)[real] for r in (mine, theirs))
        return forward_kl(*rows).mean()

    return torch.stack([divergence(*pair) for pair in pairs]).sum()


def attention_width(config: "PretrainedConfig") -> int:
    """The width of all heads' queries together."""
    settings: Any = config
    heads = settings.num_attention_heads
    one = getattr(settings, "head_dim", None) or getattr(settings, "d_kv", None) or settings.hidden_size // heads
    return heads * one


class MiniLM(LayerDistillation):
    """Let tokens relate to each other as they do in the teacher; the student's width is free.

    Args:
        stream: any stream.
        heads: relation heads of MiniLMv2, a divisor of both widths; without, MiniLM's attention and value relation,
            for which both models need the same number of heads.
        layers: as for :class:`LayerDistillation`, from 1; the default joins the last of both.
        view: what both read; the default is the text as it is.
    """

    reads = frozenset({"attention"})
    first = 1

    def __init__(
        self,
        stream: str,
        heads: int | None = None,
        layers: dict[int, int] | None = None,
        view: View | None = None,
    ) -> None:
        super().__init__(stream, layers, view)
        if heads is not None and heads < 1:
            raise UserError(f"heads is {heads}; it must be at least 1")
        self.heads = heads

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        super().build(student, streams)
        assert self.config is not None
        if self.heads is None:
            return same_heads(self, student.config, self.config)
        for width in (attention_width(student.config), attention_width(self.config)):
            if width % self.heads:
                raise UserError(f"MiniLM of stream '{self.stream}': heads is {self.heads}; it must divide {width}")

    def forward(self, step: Step) -> Tensor:
        losses = []
        for student, teacher, real, layers in self.stacks(step):
            for mine, theirs in layers.items():
                pair = student.attention[mine - 1], teacher.attention[theirs - 1]
                losses.append(checkpoint(relation_loss, *pair, real, self.heads, use_reentrant=False))
        return torch.stack(losses).sum()
