"""Gradients of single examples, clipped and added up, and a loss that carries a gradient computed before."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def clipped_sum(losses: Iterable[Tensor], parameters: Sequence[nn.Parameter], clip: float) -> list[Tensor]:
    """``sum_i g_i min(1, clip / |g_i|)`` of the gradients g_i of losses, a scalar an example, by all parameters.

    One backward pass an example: it is right for whatever the student is made of. An example whose gradient is not
    finite adds nothing.

    Args:
        losses: computed one by one, as they are asked for.
        parameters: those that are trained.
        clip: the longest gradient of an example, above 0.
    """
    total = [torch.zeros_like(p) for p in parameters]
    for loss in losses:
        if not loss.requires_grad:
            continue
        with torch.autocast(loss.device.type, enabled=False):
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        reached = [(t, g) for t, g in zip(total, gradients, strict=True) if g is not None]
        norm = nn.utils.get_total_norm([g for _, g in reached])
        if norm.isfinite():
            factor = min(1.0, clip / max(float(norm), torch.finfo(norm.dtype).tiny))
            torch._foreach_add_([t for t, _ in reached], [g for _, g in reached], alpha=factor)
    return total


class Carried(torch.autograd.Function):
    """Zero, with given gradients (as many) of parameters."""

    @staticmethod
    def forward(ctx: Any, gradients: Sequence[Tensor], *parameters: nn.Parameter) -> Tensor:
        ctx.gradients = gradients
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, seed: Tensor) -> Any:
        return None, *(seed * gradient for gradient in ctx.gradients)


def carried(gradients: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
    """A loss of 0 whose gradient by the parameters is the given one; what multiplies the loss multiplies it too."""
    zero: Tensor = Carried.apply(gradients, *parameters)
    return zero
