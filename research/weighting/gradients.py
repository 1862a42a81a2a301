"""Gradients of single losses, as vectors, the same on all processes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from research.errors import UserError
from research.ranks import averaged


def trainable(shared: Sequence[list[nn.Parameter]], weighting: nn.Module) -> Sequence[list[nn.Parameter]]:
    """The shared parameters, of which there have to be some.

    Raises:
        UserError: if the student's backbone is frozen.
    """
    if not shared:
        name = type(weighting).__name__
        raise UserError(f"model.weighting: {name} needs a backbone to train; model.student.freeze_layers freezes it")
    return shared


def gradient(
    losses: Sequence[Tensor], seeds: Sequence[Tensor], parameters: Sequence[nn.Parameter]
) -> tuple[Tensor, Tensor]:
    """The gradient (n,) of ``sum_i seed_i L_i`` by all n numbers of p parameters, and which (p,) it reaches."""
    parts = torch.autograd.grad(losses, parameters, seeds, retain_graph=True, allow_unused=True)
    vector = torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, parts, strict=True)]
    )
    vector = vector.to(torch.promote_types(vector.dtype, torch.float32))
    reached = torch.tensor([float(g is not None) for g in parts], device=vector.device)
    return averaged(vector), averaged(reached) > 0


def accumulate(vector: Tensor, reached: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Add a gradient (n,) to that of each of p parameters that it reaches."""
    pieces = vector.split([p.numel() for p in parameters])
    for parameter, piece, here in zip(parameters, pieces, reached.tolist(), strict=True):
        if here:
            new = piece.view_as(parameter).to(parameter.dtype)
            parameter.grad = new if parameter.grad is None else parameter.grad + new


def divided(parameters: Sequence[nn.Parameter], parts: int) -> list[list[nn.Parameter]]:
    """The parameters in their order, in at most so many parts of about the same size."""
    size = sum(p.numel() for p in parameters) / parts
    cut: list[list[nn.Parameter]] = [[] for _ in range(parts)]
    begun = 0
    for parameter in parameters:
        cut[int(begun / size)].append(parameter)
        begun += parameter.numel()
    return [part for part in cut if part]
