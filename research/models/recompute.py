"""Activations that are cheap to make again are made again in the backward pass, not kept for it.

A linear map keeps its input for the gradient of its weights. Where that input is what a norm or an activation made of
a tensor that is kept anyway, it need not be kept too.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

MADE_BY = "made_by"  # the attribute of a tensor that can make it again


class Remade:
    """What stands for a tensor, or a view of one, that is not kept."""

    def __init__(self, make: Callable[[slice], Tensor], whole: Tensor, part: Tensor) -> None:
        width, self.make, self.rows = whole.shape[-1], make, slice(None)
        self.place = part.size(), part.stride(), part.storage_offset()
        if part.is_contiguous() and part.shape[-1:] == (width,):  # some rows, which are made of theirs alone
            start = part.storage_offset() // width
            self.rows = slice(start, start + part.numel() // width)
            self.place = part.size(), part.stride(), 0

    def tensor(self) -> Tensor:
        with torch.no_grad():
            return self.make(self.rows).as_strided(*self.place)


def pack(tensor: Tensor) -> Tensor | Remade:
    """What the graph keeps of a tensor: the tensor, or how to make it again where that is known and it is unchanged."""
    whole = tensor if tensor._base is None else tensor._base
    make = getattr(whole, MADE_BY, None)
    return tensor if make is None or whole._version else Remade(make, whole, tensor)


def unpack(kept: Tensor | Remade) -> Tensor:
    """The tensor that :func:`pack` kept, made again where need be."""
    return kept.tensor() if isinstance(kept, Remade) else kept


def kept_for_backward() -> saved_tensors_hooks:
    """A context in which what :func:`use_recompute` marked is not kept for the backward pass."""
    return saved_tensors_hooks(pack, unpack)


def mark(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """A forward hook: ``output`` can be made again from the module's input, which its own gradient keeps."""
    if output.requires_grad:
        given, precision = inputs[0].detach().reshape(-1, inputs[0].shape[-1]), output.dtype
        setattr(output, MADE_BY, lambda rows: module.forward(given[rows]).to(precision))


def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
    """A forward hook that takes back what :func:`mark` said of a layer's output."""
    for tensor in output if isinstance(output, tuple) else (output,):
        if hasattr(tensor, MADE_BY):
            delattr(tensor, MADE_BY)


def use_recompute(model: nn.Module) -> None:
    """Mark what the norms and activations of a model make."""
    for module in model.modules():
        if isinstance(module, cheap()):
            module.register_forward_hook(mark)


def cheap() -> tuple[Any, ...]:
    """Functions of one tensor, without random numbers, whose gradient keeps that tensor and not the result."""
    from transformers.activations import GELUActivation, GELUTanh

    return nn.LayerNorm, nn.GELU, nn.SiLU, GELUActivation, GELUTanh
