"""Weights in 8 or 4 bits, and products of 8-bit integers where the processor has them.

A weight is ``scale q``, with q in [-128, 127] and a scale a row, or with q in [-8, 7] and a scale for every 32 weights
of a row. Scales are ``max |w| / 127.5`` and ``/ 7.5``: torchao's symmetric grid, so that what its fake quantisation
trains is what is kept. On a CPU with VNNI a map rounds its inputs to 8 bits too, token by token, and multiplies
integers of 8 bits, which those of 4 are made once. Elsewhere it multiplies in float32.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.errors import UserError
from research.models.compression.factorised_embedding import as_embedding
from research.models.compression.maps import (
    Replaced,
    as_linear,
    is_linear,
    matrix,
    replace,
    replace_embedding,
)
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family

GROUP = 32  # weights of a row that share a scale in 4 bits
TINY = torch.finfo(torch.float32).eps


def rounded(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers (out, in) int8, and scales (out, in / GROUP or 1) in float32 or, of 4 bits, float16."""
    rows, width = weight.shape
    parts = weight.detach().float().view(rows, -1, width if bits == 8 else GROUP)
    scale = (parts.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 0.5)).clamp_min(TINY)
    if bits == 4:
        scale = scale.half().float()
    most = 2 ** (bits - 1)
    integers = (parts * (1.0 / scale)).round().clamp(-most, most - 1).to(torch.int8).view(rows, width)
    return integers, scale.squeeze(-1).to(torch.float32 if bits == 8 else torch.float16)


def packed(integers: Tensor) -> Tensor:
    """Integers (out, in) in [-8, 7] as (out, in / 2) uint8, the even ones in the lower halves."""
    shifted = (integers + 8).to(torch.uint8)
    return shifted[:, ::2] | (shifted[:, 1::2] << 4)


def unpacked(both: Tensor) -> Tensor:
    """The inverse of :func:`packed`."""
    return (torch.stack([both & 15, both >> 4], -1).flatten(-2).to(torch.int8)) - 8


class Rounded(Replaced):
    """Integers, two in a byte where they have 4 bits, and their scales."""

    integers: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        integers, scale = rounded(weight, bits)
        self.bits = bits
        self.register_buffer("integers", packed(integers) if bits == 4 else integers)
        self.register_buffer("scale", scale)

    @property
    def numbers(self) -> int:
        """How many weights it stands for."""
        return self.integers.numel() * 8 // self.bits

    @property
    def weight(self) -> Tensor:
        return self._of(self.integers, self.scale)

    def _of(self, integers: Tensor, scale: Tensor) -> Tensor:
        """Weights of some rows (n, in), float32."""
        integers = unpacked(integers) if self.bits == 4 else integers
        return (integers.unflatten(-1, (scale.shape[-1], -1)) * scale.float()[..., None]).flatten(-2)


class RoundedEmbedding(Rounded):
    """A word embedding (V, H)."""

    def __init__(self, embedding: Any, bits: int) -> None:
        super().__init__(embedding.weight, bits)
        self.padding_idx = embedding.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        """(N, L) to (N, L, H)."""
        return self._of(self.integers[ids], self.scale[ids])

    def expanded(self) -> nn.Module:
        return as_embedding(self.weight, self.padding_idx)


class RoundedLinear(Rounded):
    """A linear map (out, in)."""

    def __init__(self, linear: Any, bits: int) -> None:
        super().__init__(matrix(linear), bits)
        self.bias = linear.bias
        self._ready: tuple[Tensor, Tensor] | None = (
            None  # integers (in, out) and factors (out,) of the product, once needed
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        plain = (
            x.dtype == torch.float32 and x.device.type == "cpu" and not (x.requires_grad and torch.is_grad_enabled())
        )
        if plain and has_vnni():
            return self._product(x.flatten(0, -2)).view(*x.shape[:-1], -1)
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))

    def _product(self, x: Tensor) -> Tensor:
        """Of rows (M, in) that are rounded to 8 bits, each by a scale of its own, to (M, out)."""
        if self._ready is None:
            integers, scale = (self.integers, self.scale) if self.bits == 8 else rounded(self.weight, 8)
            self._ready = integers.T, scale[:, 0] / 127
        columns, factors = self._ready
        largest = x.abs().amax(-1, keepdim=True).clamp_min_(TINY)
        sums = torch._int_mm((x / largest).mul_(127).round_().to(torch.int8), columns) * largest
        return sums.mul_(factors) if self.bias is None else torch.addcmul(self.bias, sums, factors)

    def expanded(self) -> nn.Module:
        return as_linear(self.weight, self.bias)


@cache
def has_vnni() -> bool:
    """Whether the processor has instructions for products of 8-bit integers, without which they are slow."""
    return bool(torch.cpu._is_vnni_supported())


def in_integers(model: nn.Module) -> bool:
    """Whether some linear map of a model is in integers."""
    return any(isinstance(module, Rounded) for module in model.modules())


class Integers(Compression):
    """All embeddings and linear maps of the backbone in integers, which are not trained: ``compress`` adds it.

    Args:
        bits: 8 or 4.
    """

    def __init__(self, bits: int = 8) -> None:
        if bits not in (8, 4):
            raise UserError(f"model.student.compression: Integers: bits is {bits}; it must be 8 or 4")
        self.bits = bits

    def apply(self, model: Any, family: "Family") -> None:
        if in_integers(model):
            raise UserError("model.student.compression: Integers: the student is in integers already")
        embedding = model.get_input_embeddings()
        if isinstance(embedding, nn.Embedding):  # a factorised one is of modules that are found below
            replace_embedding(model, RoundedEmbedding(embedding, self.bits_of(embedding.weight)))
        output = model.get_output_embeddings()  # one with weights of its own stays as it is

        def of(module: Any) -> nn.Module | None:
            if isinstance(module, nn.Embedding):
                return RoundedEmbedding(module, self.bits_of(module.weight))
            if is_linear(module) and module is not output:
                return RoundedLinear(module, self.bits_of(matrix(module)))
            return None

        replace(model, of)

    def bits_of(self, weight: Tensor) -> int:
        """8 where the rows cannot be divided into groups."""
        return 8 if weight.shape[1] % GROUP else self.bits
