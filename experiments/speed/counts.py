"""What a step costs in counts that do not vary from run to run: matrix FLOPs, and the most bytes alive on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

from torch.autograd.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from research.planning.flops import FORMULAS

MEMORY = "[memory]"  # what the profiler calls its records of the allocator


def flop_counter() -> FlopCounterMode:
    """Counts 2 for a multiplication and addition of a matrix product, whatever shapes hold padding."""
    return FlopCounterMode(display=False, custom_mapping=FORMULAS)


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
