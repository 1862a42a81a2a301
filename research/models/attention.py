"""Attention with dropout on the CPU: a few texts at a time, so that their weights stay in the processor's cache.

Torch has no fused kernel for it there. Its fallback writes several (N, heads, L, S) matrices to memory, keeps them for
the backward pass, and draws dropout a number at a time.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from research.models.dropout import draw, factor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "blocked"
BLOCK = 2**20  # weights alive at once, 4 MB in float32


class BlockedAttention(torch.autograd.Function):
    """``(keep / (1 - rate) * softmax(scale q k^T)) v`` (Vaswani et al. 2017; dropout as in BERT).

    The backward pass computes the weights anew instead of keeping them, as FlashAttention does (Dao et al. 2022,
    arXiv:2205.14135); of ``keep`` it has the bits. It cannot be differentiated again.

    Shapes: q (N, heads, L, d), k and v (N, heads, S, d), mask bool broadcastable to (N, 1, L, S) or none, true where
    a query may look; the result is (N, L, heads, d).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, scale: float) -> Tensor:
        ctx.rate, ctx.scale = rate, scale
        bits = draw((*q.shape[:3], k.shape[2]), 1 - rate)
        ctx.save_for_backward(q, k, v, mask, bits)
        out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], v.shape[3])
        with torch.autocast("cpu", enabled=False):
            for rows in blocks(q, k):
                a = weights(q[rows], k[rows], part(mask, rows), scale)
                kept = a.mul_(factor(bits[rows], tuple(a.shape))).to(v.dtype)
                out[rows] = (kept @ (v[rows] / (1 - rate))).transpose(1, 2)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        q, k, v, mask, bits = ctx.saved_tensors
        of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        with torch.autocast("cpu", enabled=False):
            for rows in blocks(q, k):
                g = gradient[rows].transpose(1, 2) / (1 - ctx.rate)
                a = weights(q[rows], k[rows], part(mask, rows), ctx.scale)
                keep = factor(bits[rows], tuple(a.shape))
                of_v[rows] = (a * keep).to(v.dtype).mT @ g
                of_a = (g @ v[rows].mT).to(a.dtype).mul_(keep)
                of_scores = torch._softmax_backward_data(of_a, a, -1, a.dtype).to(q.dtype)
                of_q[rows] = of_scores @ (k[rows] * ctx.scale)
                of_k[rows] = of_scores.mT @ (q[rows] * ctx.scale)
        return of_q, of_k, of_v, None, None, None


def blocks(q: Tensor, k: Tensor) -> list[slice]:
    """Rows of N that are computed together."""
    size = max(1, BLOCK // (q.shape[1] * q.shape[2] * k.shape[2]))
    return [slice(i, i + size) for i in range(0, len(q), size)]


def part(mask: Tensor | None, rows: slice) -> Tensor | None:
    """The rows of a mask that has rows, or the one that all rows share."""
    return mask if mask is None or len(mask) == 1 else mask[rows]


def weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(scale q k^T), in float32 at least. A query without any key looks everywhere, lest NaN spread."""
    scores = (q * scale) @ k.mT
    if mask is not None:  # a sum takes a fraction of the time of filling by a mask
        scores += scores.new_zeros(mask.shape).masked_fill_(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32))


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Transformers' interface of an encoder's attention; all but dropout on the CPU goes to torch's own kernels."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if dropout == 0 or query.device.type != "cpu" or not torch.is_grad_enabled():
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling=scaling, **kwargs
        )
        return out
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return BlockedAttention.apply(query, key, value, attention_mask, dropout, scale), None


def use_blocked_attention(model: "PreTrainedModel") -> None:
    """Let an encoder that would use torch's attention use this one."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if model.config.model_type in SERVED and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


SERVED = ("bert", "roberta", "distilbert", "electra", "camembert", "xlm-roberta")  # they call the interface so
