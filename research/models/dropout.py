"""Dropout on the CPU by a quarter of the random numbers, and faster ones: torch draws one an element, on one core.

What a backward pass needs of a mask is kept as bits, and zeros are made by multiplication: filling by a random mask, as
comparing 16-bit numbers in torch, takes several times as long.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def draw(shape: tuple[int, ...], probability: float) -> Tensor:
    """(shape) bool, true with a probability to the nearest of 65,536 parts: four from each 64 random bits.

    The seed is from torch's generator.
    """
    count = math.prod(shape)
    words = np.random.SFC64(int(torch.randint(2**63 - 1, ()))).random_raw(-(-count // 4))
    drawn = words.view(np.int16)[:count] < min(round(probability * 2**16) - 2**15, 2**15 - 1)
    return torch.from_numpy(drawn.reshape(shape))


def to_bits(mask: Tensor) -> Tensor:
    """A bool mask of any shape to (count / 8) bytes."""
    return torch.from_numpy(np.packbits(mask.numpy()))


def from_bits(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(shape) uint8, 1 where the mask is true: a factor."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=math.prod(shape)).reshape(shape))


class Masked(torch.autograd.Function):
    """``x * factor`` where the mask of these bits is true, 0 elsewhere; keeps the bits alone for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(bits)
        ctx.factor = factor
        return (x * from_bits(bits, tuple(x.shape))).mul_(factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (bits,) = ctx.saved_tensors
        return Masked.apply(gradient, bits, ctx.factor), None, None


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` (Srivastava et al. 2014), with other masks where it runs on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu" or x.dim() == 0:
            return super().forward(x)
        bits = to_bits(draw(tuple(x.shape), 1 - self.p))
        dropped: Tensor = Masked.apply(x, bits, 1 / (1 - self.p))
        return dropped


def use_fast_dropout(model: nn.Module) -> None:
    """Put :class:`Dropout` in the place of each ``torch.nn.Dropout`` of a model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
