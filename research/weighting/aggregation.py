"""Gradients of the objectives put together so that they do not undo each other, by TorchJD."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.errors import UserError
from research.ranks import from_first
from research.sharding import Whole
from research.weighting.base import Weights
from research.weighting.gradients import accumulate, divided, gradient, trainable
from research.weighting.scheduled import Plan, Scheduled


class Aggregation(Scheduled, Whole):
    """``sum_i a_i g_i`` on the backbone, ``a = A(G)``, ``G_ij = <g_i, g_j>``.

    g_i is the gradient of the i-th weighted loss by the backbone, and A one of TorchJD's aggregators that weigh by the
    Gramian, such as UPGrad (Quinton & Rey 2024, arXiv:2406.16232), MGDA, CAGrad or PCGrad. Heads, and what else is not
    the backbone's, get the gradient of the weighted sum. With K objectives a step makes K backward passes and holds K
    gradients of the backbone; with ``parts`` above 1 it holds K gradients of one part (at the least, of one tensor),
    goes up to ``parts`` times as often through the activations, and makes one pass more in the end. A step with one
    objective is a plain one.

    Args:
        aggregator: by its class_path, such as ``torchjd.aggregation.CAGrad`` with ``c: 0.4``; the default is UPGrad.
        weights: the planned ones, as for :class:`research.weighting.Scheduled`.
        parts: into how many parts the backbone is divided to save memory, at least 1.
    """

    def __init__(self, aggregator: nn.Module | None = None, weights: Plan | None = None, parts: int = 1) -> None:
        super().__init__(weights or {})
        if parts < 1:
            raise UserError(f"model.weighting: parts is {parts}; it must be at least 1")
        self.aggregator, self.parts = gramian_weighting(aggregator), parts
        self._step: tuple[dict[str, Tensor], Weights] = {}, {}

    def build(
        self, objectives: Sequence[str], shared: Sequence[list[nn.Parameter]], parameters: Sequence[nn.Parameter]
    ) -> None:
        backbone = [p for layer in trainable(shared, self) for p in layer]
        known = {id(p) for p in backbone}
        self.backbone = divided(backbone, self.parts)
        self.others = [p for p in parameters if p.requires_grad and id(p) not in known]

    def forward(self, losses: Mapping[str, Tensor], progress: float) -> tuple[Tensor, Weights]:
        loss, weights = super().forward(losses, progress)
        self._step = dict(losses), weights
        return loss, weights

    def backward(self, loss: Tensor) -> Weights:
        (named, planned), self._step = self._step, ({}, {})
        if len(named) < 2:
            return super().backward(loss)
        losses = list(named.values())
        seeds = torch.autograd.grad(loss, losses, retain_graph=True)
        unit = seeds[0] / planned[next(iter(named))]  # of a gradient scaler, and of accumulated batches
        gramian = torch.zeros(len(losses), len(losses), device=loss.device)
        rows: list[tuple[Tensor, Tensor]] = []
        for part in self.backbone:
            rows.clear()  # of the part before, to make room
            rows += [gradient([each], [seed], part) for each, seed in zip(losses, seeds, strict=True)]
            gramian = gramian + gramian_of([vector for vector, _ in rows])
        shares = self._shares(gramian / unit**2)
        if len(self.backbone) == 1:
            combined, reached = rows[0][0] * shares[0], rows[0][1]
            for share, (vector, here) in zip(shares[1:], rows[1:], strict=True):
                combined += vector.mul_(share)  # in place: a gradient of a backbone is large
                reached |= here
            accumulate(combined, reached, self.backbone[0])
        else:
            whole = [p for part in self.backbone for p in part]
            scaled = [share.to(seed.dtype) * seed for share, seed in zip(shares, seeds, strict=True)]
            accumulate(*gradient(losses, scaled, whole), whole)
        if self.others:
            accumulate(*gradient(losses, seeds, self.others), self.others)
        return {name: planned[name] * share for name, share in zip(named, shares, strict=True)}

    @torch.no_grad()
    def _shares(self, gramian: Tensor) -> Tensor:
        """a (K,) of G (K, K); all 1 where a gradient is not finite, which then shows as it would without weights."""
        if not gramian.isfinite().all():
            return torch.ones_like(gramian[0])
        return from_first(self.aggregator(gramian))


def gramian_of(vectors: Sequence[Tensor]) -> Tensor:
    """(K, K) of vectors (n,), without a copy of them."""
    rows = [torch.stack([a.dot(b) for b in vectors[i:]]) for i, a in enumerate(vectors)]
    upper = torch.stack([F.pad(row, (len(vectors) - len(row), 0)) for row in rows])
    return upper + upper.triu(1).T


def gramian_weighting(aggregator: nn.Module | None) -> nn.Module:
    """The part of an aggregator that gives weights (K,) of a Gramian (K, K).

    Raises:
        UserError: for an aggregator that cannot do with it, or that keeps what a checkpoint would not hold.
    """
    try:
        from torchjd import Stateful
        from torchjd.aggregation import UPGrad

        aggregator = aggregator or UPGrad()
    except ImportError:
        extra = "pip install 'hybrid-fine-tuning[torchjd]'"
        raise UserError(f"model.weighting: gradient aggregation needs the extra: {extra}") from None
    name = type(aggregator).__name__
    weighting: Any = getattr(aggregator, "gramian_weighting", None)
    if weighting is None or isinstance(aggregator, Stateful):
        why = "keeps state between steps" if isinstance(aggregator, Stateful) else "does not weigh by the Gramian"
        raise UserError(f"model.weighting: aggregator {name} {why}; use one such as UPGrad, MGDA, CAGrad or PCGrad")
    return weighting
