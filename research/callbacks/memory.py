"""How much memory the process has needed."""

import resource
import sys

import torch


def peak_memory() -> float:
    """Peak memory in GB (10^9 bytes): allocated on the GPU where there is one, else resident in the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
