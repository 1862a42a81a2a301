"""A pull of the student's parameters towards their first values: what penalties against forgetting have in common."""

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from research.objectives.base import Objective, Read
from research.sharding import Whole

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.models.student import Student
    from research.models.teachers import Teacher


BLOCK = 2**18  # elements at once on a CPU, which keeps them in its cache; a copy of the weights would cost more


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one shape, in flat pieces of the same elements; whole ones where they are not on a CPU."""
    size = BLOCK if tensors[0].device.type == "cpu" else max(tensors[0].numel(), 1)
    return zip(*(tensor.detach().reshape(-1).split(size) for tensor in tensors), strict=True)


class Pull(torch.autograd.Function):
    """The loss keeps no tensor for its gradient ``F (w - a)``, but subtracts once more."""

    @staticmethod
    def forward(ctx: Any, anchors: Sequence[Tensor], importance: Sequence[Tensor] | None, *weights: Tensor) -> Tensor:
        ctx.factors = [anchors] if importance is None else [anchors, importance]
        ctx.save_for_backward(*weights)
        total = weights[0].new_zeros(())
        for tensors in zip(weights, *ctx.factors, strict=True):
            for weight, anchor, *factor in blocks(*tensors):
                way = weight - anchor
                total += torch.dot(way, way * factor[0] if factor else way)
        return total / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        ways = [torch.empty(weight.shape, dtype=weight.dtype, device=weight.device) for weight in ctx.saved_tensors]
        for tensors in zip(ways, ctx.saved_tensors, *ctx.factors, strict=True):
            for way, weight, anchor, *factor in blocks(*tensors):
                torch.sub(weight, anchor, out=way).mul_(gradient)
                if factor:
                    way.mul_(factor[0])
        return None, None, *ways


def pull(weights: Sequence[Tensor], anchors: Sequence[Tensor], importance: Sequence[Tensor] | None = None) -> Tensor:
    """``1/2 sum_i F_i (w_i - a_i)^2`` over all elements of lists of tensors of equal shapes; F is 1 where not given."""
    return Pull.apply(anchors, importance, *weights) if weights else torch.zeros(())


class Anchored(Objective, Whole, ABC):
    """A penalty on the backbone's trained parameters. It counts in every step, whatever streams that has."""

    def due(self, batches: "Mapping[str, Batch | None]") -> bool:
        return True

    def prepare(self, student: "Student", teacher: "Teacher | None", read: Read) -> None:
        self.anchors = [weight.detach().clone() for weight in trained(student)]

    def pulled(self, student: "Student", importance: Sequence[Tensor] | None = None) -> Tensor:
        """:func:`pull` towards the first weights, which are no buffers: neither saved nor sent to other processes."""
        weights = trained(student)
        self.anchors = on_device_of(weights, self.anchors)
        return pull(weights, self.anchors, importance)


def trained(student: "Student") -> list[nn.Parameter]:
    """The parameters of the backbone that are not frozen, each once."""
    assert student.model is not None
    return [parameter for parameter in student.model.parameters() if parameter.requires_grad]


def on_device_of(weights: Sequence[Tensor], kept: Sequence[Tensor]) -> list[Tensor]:
    """Tensors that were taken before the student moved; nothing is copied where they are with it already."""
    return [tensor.to(weight.device) for weight, tensor in zip(weights, kept, strict=True)]
