"""Linear maps in float32 on the CPU by oneDNN, whose products are faster there than those of torch's choice, MKL."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Product(torch.autograd.Function):
    """``x w^T + b`` of x (..., in), w (out, in) and b (out,) or none, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        of_x = Product.apply(gradient, weight.mT, None) if ctx.needs_input_grad[0] else None
        of_weight = rows.mT @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """:func:`torch.nn.functional.linear`."""
    on_cpu = x.device.type == "cpu" and torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
    plain = x.dtype == weight.dtype == torch.float32 and x.numel() > 0
    if not on_cpu or not plain or torch.compiler.is_compiling():  # torch.compile chooses products by itself
        return F.linear(x, weight, bias)
    out: Tensor = Product.apply(x, weight, bias)
    return out


class Linear(nn.Linear):
    """:class:`torch.nn.Linear`, by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def use_fast_linear(model: nn.Module) -> None:
    """Let each ``torch.nn.Linear`` of a model multiply so; its weights stay what they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
