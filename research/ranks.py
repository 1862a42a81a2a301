"""What the processes of a run have to agree on."""

import torch.distributed as dist
from torch import Tensor


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes, on each of them."""
    if not many():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def from_first(tensor: Tensor) -> Tensor:
    """The first process's tensor, on each of them."""
    if many():
        dist.broadcast(tensor, src=0)
    return tensor


def many() -> bool:
    return dist.is_available() and dist.is_initialized()
