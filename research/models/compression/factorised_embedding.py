"""Word embeddings as narrow ones and a map to the width of the model (ALBERT: Lan et al. 2020, arXiv:1909.11942)."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.models.compression.low_rank import factors
from research.models.compression.maps import Replaced, as_linear, replace_embedding
from research.models.compression.method import Compression

if TYPE_CHECKING:
    from research.models.families import Family


class NarrowEmbedding(Replaced):
    """``E_i = A_i B``: (V, size) rows and a map to (V, H), in ``size (V + H)`` weights."""

    def __init__(self, embedding: Any, size: int) -> None:
        super().__init__()
        rows, up = factors(embedding.weight, size)
        self.rows = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=embedding.padding_idx)
        self.up = as_linear(up.T, None)
        self.padding_idx = embedding.padding_idx

    @property
    def weight(self) -> Tensor:
        return self.rows.weight @ self.up.weight.T

    def forward(self, ids: Tensor) -> Tensor:
        """(N, L) to (N, L, H)."""
        states: Tensor = self.up(self.rows(ids))
        return states

    def expanded(self) -> nn.Module:
        return as_embedding(self.weight, self.padding_idx)


@torch.no_grad()
def as_embedding(weight: Tensor, padding_idx: int | None) -> nn.Embedding:
    """Torch's embedding of weights (V, H)."""
    return nn.Embedding.from_pretrained(weight.detach().clone(), freeze=False, padding_idx=padding_idx)


class FactorisedEmbedding(Compression):
    """The word embedding as two factors, nearest to what it was; a tied output reads both.

    Args:
        size: the width of the rows, at least 1 and below the model's.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def apply(self, model: Any, family: "Family") -> None:
        embedding = model.get_input_embeddings()
        width = embedding.weight.shape[1]
        if not 1 <= self.size < width:
            raise UserError(
                f"model.student.compression: FactorisedEmbedding: size is {self.size}; "
                f"it must be at least 1 and below the width, {width}"
            )
        replace_embedding(model, NarrowEmbedding(embedding, self.size))
