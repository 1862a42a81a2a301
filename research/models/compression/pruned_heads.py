"""Attention without some of its heads (Michel et al. 2019, arXiv:1905.10650)."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.models.compression.maps import Replaced, as_linear, layers_of
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family

KEY = "model.student.compression: PrunedHeads"


class PartialLinear(Replaced):
    """Some outputs of a linear map, or the map of some of its inputs; the others are zero.

    Args:
        linear: (out, in).
        kept: which, (n,), rising.
        side: ``outputs`` or ``inputs``.
    """

    kept: Tensor

    def __init__(self, linear: nn.Linear, kept: Tensor, side: Literal["outputs", "inputs"]) -> None:
        super().__init__()
        self.side, self.shape = side, tuple(linear.weight.shape)
        self.register_buffer("kept", kept, persistent=False)
        outputs = side == "outputs"
        bias = linear.bias[kept] if outputs and linear.bias is not None else linear.bias
        self.linear = as_linear(linear.weight[kept] if outputs else linear.weight[:, kept], bias)

    @property
    def weight(self) -> Tensor:
        small: Tensor = self.linear.weight
        return small.new_zeros(self.shape).index_copy(0 if self.side == "outputs" else 1, self.kept, small)

    @property
    def bias(self) -> Tensor | None:
        small: Tensor | None = self.linear.bias
        if small is None or self.side == "inputs":
            return small
        return small.new_zeros(self.shape[0]).index_copy(0, self.kept, small)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., n) of inputs (..., in), or outputs (..., out) of inputs (..., n)."""
        y: Tensor = self.linear(x)
        return y

    def expanded(self) -> nn.Module:
        return as_linear(self.weight, self.bias)


class PrunedHeads(Compression):
    """Leaves heads out of the attention of BERT and models that name its parts alike, such as RoBERTa and ELECTRA.

    ``compress --heads`` chooses them by how much they matter; given in a config, what is left is trained again.

    Args:
        heads: by layer the heads that go, both counted from 0; each layer keeps one at least.
    """

    def __init__(self, heads: dict[int, list[int]]) -> None:
        self.heads = heads

    def apply(self, model: Any, family: "Family") -> None:
        layers = layers_of(model, family)
        for number, heads in self.heads.items():
            if not 0 <= number < len(layers):
                raise UserError(f"{KEY}: there is no layer {number}; the model has {len(layers)}")
            attention = attention_of(layers[number], model.config)
            count, width = attention.self.num_attention_heads, attention.self.attention_head_size
            if not set(heads) < set(range(count)):
                raise UserError(f"{KEY}: heads of layer {number} are {heads}; give some of 0 to {count - 1}, not all")
            left = torch.tensor([head for head in range(count) if head not in heads])
            kept = (left[:, None] * width + torch.arange(width)).flatten()
            for name in ("query", "key", "value"):
                setattr(attention.self, name, PartialLinear(getattr(attention.self, name), kept, "outputs"))
            attention.output.dense = PartialLinear(attention.output.dense, kept, "inputs")


def attention_of(layer: Any, config: Any) -> Any:
    """The self-attention of a layer, with its parts as BERT names them.

    Raises:
        UserError: for a model that names them otherwise.
    """
    attention = getattr(layer, "attention", None)
    if not hasattr(getattr(attention, "self", None), "query"):
        raise UserError(f"{KEY}: where {config.model_type} keeps its heads is not known here")
    return attention
