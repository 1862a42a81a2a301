"""What the processes of a run agree on, and put together."""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, on each of them."""
    if not many():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes, on each of them."""
    return summed(tensor) / dist.get_world_size() if many() else tensor


def from_first(tensor: Tensor) -> Tensor:
    """The first process's tensor, on each of them."""
    if many():
        dist.broadcast(tensor, src=0)
    return tensor


def of_all_ranks(rows: Tensor) -> Tensor:
    """Rows (n, ...) of every rank as one batch (N, ...), for a loss that each rank computes over all of them.

    The gradient reaches this rank's own rows, once for each rank: the strategy takes the mean over ranks, which is
    then the gradient of one process with the whole batch. Ranks may have unequal numbers of rows: those of a batch
    that was dealt to them come in the order of the batch.
    """
    if not many():
        return rows
    from torchmetrics.utilities.distributed import gather_all_tensors

    ranks = dist.get_world_size()
    if rows.requires_grad:
        rows = rows.view_as(rows)  # of its own, since other losses may read the rows
        rows.register_hook(lambda gradient: gradient * ranks)
    gathered = gather_all_tensors(rows)
    together = torch.cat(gathered)
    dealt = [torch.arange(rank, len(together), ranks, device=rows.device) for rank in range(ranks)]
    if [len(part) for part in gathered] != [len(part) for part in dealt]:
        return together
    return together[torch.cat(dealt).argsort()]


def of_each_rank(value: Value) -> list[Value]:
    """A plain value of every rank, in their order, on each of them."""
    if not many():
        return [value]
    found = [value] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def many() -> bool:
    """Whether this process is one of a group, which may have one member."""
    return dist.is_available() and dist.is_initialized()
