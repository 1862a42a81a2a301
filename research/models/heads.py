"""What lies on top of the hidden states: class logits, and the vocabulary applied where a loss needs it."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from research.models.linear import linear
from research.models.row_blocks import by_rows

RowLoss = Callable[[Tensor, Tensor], Tensor]  # of logits (m, C) and (m, C), to (m,)
CHUNK = 1024  # positions whose vocabulary logits are alive at once


class ClassificationHead(nn.Sequential):
    """Dropout and a linear map from an embedding (N, H) to logits (N, outputs)."""

    def __init__(self, width: int, outputs: int, dropout: float = 0.1) -> None:
        super().__init__(nn.Dropout(dropout), nn.Linear(width, outputs))
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    @property
    def linear(self) -> nn.Linear:
        layer = self[1]
        assert isinstance(layer, nn.Linear)
        return layer


class VocabularyHead:
    """The output embedding: features (M, H) of the positions that carry a loss, weight (V, H), bias (V,) or none.

    Never more than ``CHUNK`` x V logits are held: those of so few positions are computed once for all its losses.
    """

    def __init__(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self.features, self.weight, self.bias = features, weight, bias

    @cached_property
    def logits(self) -> Tensor:
        """(M, V), for an M of at most ``CHUNK``."""
        return linear(self.features, self.weight, self.bias)

    def cross_entropy(self, labels: Tensor, reduction: str = "mean") -> Tensor:
        """Cross entropy against labels (M,); zero (with a graph) where M is 0."""
        if len(labels) == 0:
            return self.features.sum() * 0.0
        if len(labels) <= CHUNK:
            loss = by_rows(partial(F.cross_entropy, reduction="none"), self.logits, labels)
        else:
            parts = zip(self.features.split(CHUNK), labels.split(CHUNK), strict=True)
            loss = torch.cat([self._chunk_cross_entropy(*part) for part in parts])
        return loss if reduction == "none" else getattr(loss, reduction)()

    def divergence(self, other: "VocabularyHead", loss: RowLoss) -> Tensor:
        """Mean over positions of ``loss(logits, other's logits) -> (m,)``, in chunks."""

        if 0 < len(self.features) <= CHUNK:
            return by_rows(loss, self.logits, other.logits).mean()

        def one(mine: Tensor, theirs: Tensor) -> Tensor:
            return loss(mine, F.linear(theirs, other.weight, other.bias))

        return self.mean(one, other.features)

    def mean(self, loss: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """Mean over positions of ``loss(logits (m, V), rows of each given (M, ...)) -> (m,)``, in chunks."""
        if len(self.features) == 0:
            return self.features.sum() * 0.0
        if len(self.features) <= CHUNK:
            return loss(self.logits, *given).mean()

        def one(mine: Tensor, *parts: Tensor) -> Tensor:
            return loss(F.linear(mine, self.weight, self.bias), *parts)

        chunks = zip(*(part.split(CHUNK) for part in (self.features, *given)), strict=True)
        return torch.cat([checkpoint(one, *chunk, use_reentrant=False) for chunk in chunks]).mean()

    def _chunk_cross_entropy(self, features: Tensor, labels: Tensor) -> Tensor:
        def call(f: Tensor) -> Tensor:
            if not hasattr(F, "linear_cross_entropy"):  # before torch 2.13
                return F.cross_entropy(F.linear(f, self.weight, self.bias), labels, reduction="none")
            return F.linear_cross_entropy(f, self.weight, labels, linear_bias=self.bias, reduction="none")

        if not torch.is_grad_enabled():
            return call(features)
        return checkpoint(call, features, use_reentrant=False)
