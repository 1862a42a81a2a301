"""A tall batch encoded part by part, so that the memory of a step does not grow with it (GradCache)."""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from research.data.batch import Tokens


def split(tokens: Tokens, rows: int) -> list[Tokens]:
    """Tokens (N, ...) as parts of at most ``rows`` rows, in their order."""
    present = {field.name: part for field in fields(Tokens) if (part := getattr(tokens, field.name)) is not None}
    cut = {name: tensor.split(rows) for name, tensor in present.items()}
    return [Tokens(**dict(zip(cut, parts, strict=True))) for parts in zip(*cut.values(), strict=True)]


def in_chunks(encode: Callable[[Tokens], tuple[Tensor, Tensor]], tokens: Tokens, rows: int) -> tuple[Tensor, Tensor]:
    """``encode(tokens)`` of at most ``rows`` rows at a time: hidden and memory (N, ..., H).

    Only the states that it returns are kept. Each part is encoded again, with the same random numbers, when the
    backward pass comes to it, so the gradient is that of one forward pass (Gao et al. 2021, arXiv:2101.06983).
    """
    parts = [checkpoint(encode, part, use_reentrant=False) for part in split(tokens, rows)]
    hidden = torch.cat([part[0] for part in parts])
    if all(part[0] is part[1] for part in parts):
        return hidden, hidden
    return hidden, torch.cat([part[1] for part in parts])
