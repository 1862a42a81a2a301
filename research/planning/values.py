"""What an operation does that asks for the values of a tensor without memory: it answers as if all were 1.

Tensors that a batch brings have values; their masks select what they do in training. Of a result without values nobody
could say how many rows a mask selects: all of them are the most it can be.
"""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

aten = torch.ops.aten
ASKING = (aten._local_scalar_dense.default, aten.item.default)
SELECTING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)


def answered(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``func(*args, **kwargs)``, also where its result depends on values that are not there."""
    if func in SELECTING:
        indices = [place for index in args[1] for place in places(index)]
        return func(args[0], indices, *args[2:], **kwargs)
    if func in ASKING and isinstance(args[0], FakeTensor):
        return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
    if func is aten.nonzero.default and isinstance(args[0], FakeTensor):
        return func(ones(args[0]))
    if func is aten.equal.default and any(isinstance(tensor, FakeTensor) for tensor in args):
        return True
    return func(*args, **kwargs)


def places(index: Tensor | None) -> list[Tensor | None]:
    """A mask as the places (n,) that it selects in each of its dimensions; other indices as they are."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    known = ones(index) if isinstance(index, FakeTensor) else index
    return list(known.nonzero(as_tuple=True))


def ones(mask: Tensor) -> Tensor:
    """A mask that keeps everything, shaped as the given one."""
    return torch.ones(tuple(mask.shape), dtype=torch.bool)
