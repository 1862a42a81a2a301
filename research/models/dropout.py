"""Dropout on the CPU by a quarter of the random numbers, on all its cores: torch draws one an element, on one core.

A mask is kept as bits until it is a factor of 0 and 1: filling by a random mask takes several times as long.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PIECE = 2**18  # what is drawn from one seed, on one core
RATES = (  # what configurations call them
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "dropout", "attention_dropout",
    "activation_dropout", "embedding_dropout", "mlp_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop",
)  # fmt: skip


def draw(shape: tuple[int, ...], probability: float) -> Tensor:
    """A mask of (N, ...) as bits, (N, bytes) uint8, true with a probability to the nearest of 65,536 parts.

    Each 64 random bits give four. They go by torch's generator alone, whatever its threads.
    """
    width = -(-math.prod(shape[1:]) // 8)
    count, seed = 8 * shape[0] * width, int(torch.randint(2**63 - 1, ()))
    bound = min(round(probability * 2**16) - 2**15, 2**15 - 1)

    def piece(start: int) -> np.ndarray:
        words = np.random.SFC64((seed, start)).random_raw(min(PIECE, count - start) // 4)
        return np.packbits(words.view(np.int16) < bound)

    starts = range(0, max(count, 1), PIECE)
    if len(starts) == 1:
        return torch.from_numpy(piece(0)).view(shape[0], width)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return torch.from_numpy(np.concatenate([*threads.map(piece, starts)])).view(shape[0], width)


def factor(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Bits of (N, ...) to that shape, 0 or 1, in uint8: torch multiplies by it much faster than by a bool mask."""
    flat = np.unpackbits(bits.numpy(), axis=1, count=math.prod(shape[1:]))
    return torch.from_numpy(flat.reshape(shape))


class Masked(torch.autograd.Function):
    """``x * scale`` where the mask of these bits is true, 0 elsewhere; keeps the bits alone for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(bits)
        ctx.scale = scale
        return (x * factor(bits, tuple(x.shape))).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (bits,) = ctx.saved_tensors
        return Masked.apply(gradient, bits, ctx.scale), None, None


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` (Srivastava et al. 2014), with other masks where it runs on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu" or x.dim() == 0:
            return super().forward(x)
        dropped: Tensor = Masked.apply(x, draw(tuple(x.shape), 1 - self.p), 1 / (1 - self.p))
        return dropped


def use_fast_dropout(model: nn.Module) -> None:
    """Put :class:`Dropout` in the place of each ``torch.nn.Dropout`` of a model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))


def set_rates(config: Any, rate: float) -> None:
    """Give all kinds of dropout of a configuration one rate; those of heads that we do not use are left out."""
    for name in RATES:
        if hasattr(config, name):
            setattr(config, name, rate)
