"""Weighted means of weights, and which of several models to take into one (Wortsman et al. 2022)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from research.errors import UserError

State = Mapping[str, Tensor]


def average(states: Sequence[State], shares: Sequence[float] | None = None) -> dict[str, Tensor]:
    """``sum_i s_i w_i`` of equally named tensors, by equal shares where none are given (arXiv:2203.05482).

    With two states, shares ``1 - a`` and ``a`` interpolate, as WiSE-FT does between the first weights and the
    fine-tuned ones (arXiv:2109.01903). Integers are those of the first state.

    Raises:
        UserError: naming a tensor that another state lacks or has in another shape.
    """
    first, *others = states
    for number, other in enumerate(others, 2):
        for name in [*first, *other]:
            if name not in first or name not in other or first[name].shape != other[name].shape:
                raise UserError(f"the checkpoints are not of one model: the first and number {number} differ in {name}")
    shares = shares or [1 / len(states)] * len(states)
    mean = {}
    for name, tensor in first.items():
        mean[name] = tensor.clone()
        if tensor.is_floating_point():
            parts = [share * state[name].double() for share, state in zip(shares, states, strict=True)]
            mean[name] = torch.stack(parts).sum(0).to(tensor.dtype)
    return mean


def greedy(states: Sequence[State], score: Callable[[State], float]) -> list[int]:
    """The states of a greedy soup: from the best on, each that does not lower the score of the average joins.

    Args:
        states: of one model.
        score: more is better; measured once for each state alone, and once for each average that is tried.
    """
    alone = [score(state) for state in states]
    best, *rest = sorted(range(len(states)), key=lambda i: -alone[i])
    chosen, reached = [best], alone[best]
    for i in rest:
        if (now := score(average([states[j] for j in [*chosen, i]]))) >= reached:
            chosen, reached = [*chosen, i], now
    return chosen
