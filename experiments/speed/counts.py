"""What a step costs in counts that do not vary from run to run: matrix FLOPs, and the most bytes alive on the CPU."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch.autograd.profiler import profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

MEMORY = "[memory]"  # what the profiler calls its records of the allocator


def flop_counter() -> FlopCounterMode:
    """Counts 2 for a multiplication and addition of a matrix product, whatever shapes hold padding.

    Its own table lacks the CPU's fused attention, and oneDNN's linear map.
    """
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    formulas = {
        attention: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        backward: lambda gradient, q, k, v, *_, **__: sdpa_backward_flop_count(gradient, q, k, v),
        torch.ops.mkldnn._linear_pointwise: lambda x, weight, *_, **__: 2 * math.prod(x) * weight[0],
    }
    return FlopCounterMode(display=False, custom_mapping=formulas)


class Allocations:
    """Bytes that the allocator gave out while it was watched; ``peak`` is the most of them alive at once."""

    peak = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        with profile(use_cpu=True, profile_memory=True) as records:
            yield
        assert records.kineto_results is not None
        sizes = [(e.start_ns(), e.nbytes()) for e in records.kineto_results.events() if e.name() == MEMORY]
        sizes.sort(key=lambda record: record[0])
        self.peak = max(accumulate(size for _, size in sizes), default=0)
