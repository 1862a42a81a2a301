"""A loss of each row of wide logits, a few rows at a time, so that what lies between stays in the processor's cache."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**18  # logits of a block, 1 MB in float32


class RowBlocks(torch.autograd.Function):
    """``loss(logits, other) -> (m,)`` and, in the same pass, its gradient, all that is kept of (m, C).

    It cannot be differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, other: Tensor) -> Tensor:
        of_logits, out = torch.empty_like(logits), []
        size = max(1, BLOCK // logits.shape[1])
        for start in range(0, len(logits), size):
            rows = slice(start, start + size)
            with torch.enable_grad():
                block = logits[rows].detach().requires_grad_()
                part = loss(block, other[rows])
            (of_logits[rows],) = torch.autograd.grad(part, block, torch.ones_like(part))
            out.append(part.detach())
        ctx.save_for_backward(of_logits)
        return torch.cat(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (of_logits,) = ctx.saved_tensors
        return None, of_logits * gradient[:, None].to(of_logits.dtype), None


def by_rows(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, other: Tensor) -> Tensor:
    """``loss(logits, other) -> (m,)`` of logits (m, C), and ``other`` (m, ...) such as labels or a teacher's logits.

    What ``loss`` makes of a row has to depend on that row alone, and on nothing else that has a gradient.
    """
    if logits.device.type != "cpu" or not logits.requires_grad or other.requires_grad:
        return loss(logits, other)
    out: Tensor = RowBlocks.apply(loss, logits, other)
    return out
