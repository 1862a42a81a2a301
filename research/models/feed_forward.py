"""A layer's feed-forward part, some rows at a time.

What lies between its two maps is several times as wide as states, and short-lived. Whole, it would leave holes in
memory that states, which are kept for the backward pass, do not fill.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 2048


def in_blocks(compute: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """``compute(states)`` of (..., H), where ``compute`` makes each row of that row alone.

    On the CPU it runs in blocks; not under autocast, which would cast the weights for each, and needs half the memory.
    """
    rows = states.flatten(0, -2)
    if states.device.type != "cpu" or torch.is_autocast_enabled("cpu") or len(rows) <= ROWS:
        return compute(states)
    return torch.cat([compute(block) for block in rows.split(ROWS)]).view(states.shape)


def feed_forward_chunk(layer: Any, states: Tensor) -> Tensor:
    """In place of the method of that name."""
    return in_blocks(MethodType(type(layer).feed_forward_chunk, layer), states)


feed_forward_chunk.__signature__ = inspect.signature(feed_forward_chunk)  # type: ignore[attr-defined]  # asked each time


def use_blocks(model: nn.Module) -> None:
    """Let layers whose feed-forward part is a method of its own, as BERT's is in Transformers, compute it so."""
    layer: Any
    for layer in model.modules():
        if hasattr(layer, "feed_forward_chunk"):
            layer.feed_forward_chunk = MethodType(feed_forward_chunk, layer)
