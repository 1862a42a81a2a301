"""Weights in the order in which oneDNN multiplies by them, for a model on the CPU that only answers."""

from typing import Any

import torch
from torch import Tensor, nn

from research.models.compression.maps import Replaced, is_transposed, matrix, replace
from research.models.linear import Linear


class Reordered(nn.Module):
    """A linear map in float32 or bfloat16, without gradients; ``weight.to_dense()`` is (out, in) again.

    A product with few rows takes little longer than reading the weight, which oneDNN would otherwise reorder each time.
    """

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix(linear).detach().contiguous())
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Any:
        """(..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def reorder(model: Any) -> None:
    """Put :class:`Reordered` in the place of the plain linear maps.

    The output embedding stays, which may share its weights, and so do compressed maps, whose parts are read as weights.
    """
    kept = {id(model.get_output_embeddings())}
    kept |= {id(part) for module in model.modules() if isinstance(module, Replaced) for part in module.modules()}

    def of(child: nn.Module) -> nn.Module | None:
        plain = type(child) in (nn.Linear, Linear) or is_transposed(child)
        return Reordered(child) if plain and id(child) not in kept else None

    replace(model, of)
