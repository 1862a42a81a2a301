"""FLOPs of matrix products: 2 for a multiplication and addition, whatever shapes hold padding."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

FORMULAS: dict[Any, Callable[..., int]] = {  # what torch's own table lacks: the CPU's fused attention, oneDNN's maps
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, q, k, v, *_, **__: (
        sdpa_backward_flop_count(gradient, q, k, v)
    ),
    torch.ops.mkldnn._linear_pointwise: lambda x, weight, *_, **__: 2 * math.prod(x) * weight[0],
}


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """FLOPs of an operation by these formulas and torch's, 0 where there is none."""
    packet = func._overloadpacket
    if packet in FORMULAS:
        return int(FORMULAS[packet](*(getattr(a, "shape", a) for a in args)))
    return int(flop_registry[packet](*args, **kwargs, out_val=out)) if packet in flop_registry else 0
