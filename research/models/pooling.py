"""How the token states of a text become one embedding."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "first", "last", "max", "weighted_mean", "first_last"]


def pooled(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """States (N, L, H) under a mask (N, L), true at real tokens, to (N, H), in float32 at least.

    ``weighted_mean`` weighs the i-th real token by i, for decoders, whose later tokens have read more (SGPT,
    Muennighoff 2022, arXiv:2202.08904); ``first_last`` is the mean of both layers' states (SimCSE, arXiv:2104.08821).
    """
    wide = torch.promote_types(states.dtype, torch.float32)
    if how == "first":
        return states[:, 0].to(wide)
    if how == "last":
        last = (mask * torch.arange(mask.shape[1], device=mask.device)).amax(1)
        rows = torch.arange(states.shape[0], device=states.device)  # len() would be a constant of an exported graph
        return states[rows, last].to(wide)
    if how == "max":
        return states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1).to(wide)
    place = mask.cumsum(1) * mask if how == "weighted_mean" else mask
    weights = place.to(wide).unsqueeze(-1)  # bfloat16 cannot count beyond 256
    return (states * weights).sum(1) / weights.sum(1)
