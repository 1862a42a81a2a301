"""Linear maps as two of lower rank, by the singular value decomposition of their weights."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.models.compression.maps import Replaced, as_linear, is_linear, layers_of, matrix, replace
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family


@torch.no_grad()
def factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """``A B`` nearest to weights (out, in) in the sum of squares: (out, rank) and (rank, in), of like size
    (Eckart & Young 1936).
    """
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * v[:rank]


class LowRankLinear(Replaced):
    """``A (B x) + b``: a linear map of rank r, in ``r (in + out)`` weights."""

    def __init__(self, linear: Any, rank: int) -> None:
        super().__init__()
        out, into = factors(matrix(linear), rank)
        self.down, self.up = as_linear(into, None), as_linear(out, linear.bias)

    @property
    def bias(self) -> Tensor | None:
        return self.up.bias

    @property
    def weight(self) -> Tensor:
        return self.up.weight @ self.down.weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        y: Tensor = self.up(self.down(x))
        return y

    def expanded(self) -> nn.Module:
        return as_linear(self.weight, self.bias)


class LowRank(Compression):
    """Each linear map in the layers that this makes smaller gets a rank.

    Args:
        rank: at least 1; below ``in out / (in + out)`` a map gets smaller.
    """

    def __init__(self, rank: int) -> None:
        if rank < 1:
            raise UserError(f"model.student.compression: LowRank: rank is {rank}; it must be at least 1")
        self.rank = rank

    def apply(self, model: Any, family: "Family") -> None:
        def of(module: nn.Module) -> nn.Module | None:
            if not is_linear(module):
                return None
            outputs, inputs = matrix(module).shape
            return LowRankLinear(module, self.rank) if self.rank * (inputs + outputs) < inputs * outputs else None

        if not replace(layers_of(model, family), of):
            raise UserError(f"model.student.compression: LowRank: rank {self.rank} makes no map of the model smaller")
