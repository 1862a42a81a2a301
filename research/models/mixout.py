"""Mixout: trained weights that are now and then what they were at first (Lee et al. 2020, arXiv:1909.11299)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from research.models.dropout import draw, factor


def mixout(weight: Tensor, first: Tensor, probability: float) -> Tensor:
    """``(m u + (1 - m) w - p u) / (1 - p)``: each element of w is u with probability p (m is 1), and w on average."""
    shape, on_cpu = tuple(weight.shape), weight.device.type == "cpu"
    swap = factor(draw(shape, probability), shape).bool() if on_cpu else torch.rand_like(weight) < probability
    return (torch.where(swap, first, weight) - probability * first) / (1 - probability)


class MixedLinear(nn.Linear):
    """A linear map whose weights (out, in) are mixed with the first ones in training."""

    first: Tensor
    probability: float

    def mixed(self) -> Tensor:
        self.first = self.first.to(self.weight)  # no buffer: neither saved nor sent to other processes
        return mixout(self.weight, self.first, self.probability) if self.training else self.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mixed(), self.bias)


class MixedConv1D(MixedLinear):
    """GPT-2's linear map, whose weights are (in, out)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mixed().T, self.bias)


def use_mixout(model: nn.Module, probability: float) -> None:
    """Mix the weights of each trained linear map inside a model with those that it has now; their names stay."""
    m: Any = model
    output = m.get_output_embeddings()
    kinds: dict[type, type[MixedLinear]] = {nn.Linear: MixedLinear, Conv1D: MixedConv1D}
    for module in list(model.modules()):
        child: Any
        for name, child in module.named_children():
            if type(child) not in kinds or child is output or not child.weight.requires_grad:
                continue
            width, outputs = child.weight.T.shape
            mixed = kinds[type(child)](width, outputs, device="meta").train(child.training)
            mixed.weight, mixed.bias = child.weight, child.bias
            mixed.first, mixed.probability = child.weight.detach().clone(), probability
            setattr(module, name, mixed)
