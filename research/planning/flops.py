"""FLOPs of matrix products: 2 for a multiplication and addition, whatever shapes hold padding."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

ATTENTION: dict[
    Any, Callable[..., int]
] = {  # the CPU's fused one, which torch's own table lacks; in torch's form: shapes, then the result's
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, q, k, v, *_, **__: (
        sdpa_backward_flop_count(gradient, q, k, v)
    ),
}


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """FLOPs of an operation by torch's formulas, 0 where it has none."""
    packet = func._overloadpacket
    if packet in ATTENTION:
        return int(ATTENTION[packet](*(getattr(a, "shape", a) for a in args)))
    return int(flop_registry[packet](*args, **kwargs, out_val=out)) if packet in flop_registry else 0
