"""RecAdam: recall what was pre-trained, then learn more and more (Chen et al. 2020, arXiv:2004.12651)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW

from research.errors import UserError
from research.optimisation import fusible
from research.sharding import Whole

KEY = "model.optimisation.optimiser"


class RecAdam(AdamW, Whole):
    """Adam on the task's loss, and beside its moments a pull to the first weights that fades.

    ``w -= lr (lambda(t) m / (sqrt(v) + eps) + (1 - lambda(t)) gamma (w - w_0))`` with
    ``lambda(t) = 1 / (1 + exp(-k (t - t_0)))`` at step t, from 1 on; weight decay shrinks with lambda as well. Groups
    that are not marked ``pretrained``, such as those of heads, have no w_0 and take plain steps. The first weights are
    state, and so in the checkpoint.

    Args:
        params: groups with their rates, as :func:`research.optimisation.parameter_groups` gives them.
        k: how fast the pull fades, above 0, by step.
        t0: the step at which learning and recalling weigh the same, at least 0.
        gamma: strength of the pull, at least 0; times the greatest rate it must not pass 1.
        lr: of groups that bring none.
        betas: decay rates of both moments, in [0, 1).
        eps: > 0, added to the root of the second moment.
    """

    def __init__(
        self,
        params: Any,
        k: float = 0.05,
        t0: float = 250.0,
        gamma: float = 5000.0,
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        groups = list(params)
        if k <= 0:
            raise UserError(f"{KEY}: k is {k}; it must be above 0")
        if t0 < 0:
            raise UserError(f"{KEY}: t0 is {t0}; it must be at least 0")
        highest = max((group.get("lr", lr) for group in groups if group.get("pretrained")), default=lr)
        if not 0 <= gamma * highest <= 1:
            raise UserError(f"{KEY}: gamma is {gamma}; at a rate of {highest} it must lie in [0, {1 / highest:.3g}]")
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=fusible(groups))
        self.k, self.t0, self.gamma = k, t0, gamma

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None if closure is None else torch.enable_grad()(closure)()
        groups = [group for group in self.param_groups if group.get("pretrained")]
        rates = [group["lr"] for group in groups]
        moved = [weight for group in groups for weight in group["params"] if weight.grad is not None]
        first = {w: self.state[w]["first"] if "first" in self.state[w] else w.clone() for w in moved}
        for group in groups:
            group["t"] = group.get("t", 0) + 1
            learning = (1 + math.tanh(self.k * (group["t"] - self.t0) / 2)) / 2  # where exp would overflow
            if weights := [weight for weight in group["params"] if weight in first]:
                pull = group["lr"] * (1 - learning) * self.gamma
                torch._foreach_lerp_(weights, [first[weight] for weight in weights], pull)
            group["lr"] *= learning
        super().step()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        for weight, value in first.items():  # not before: AdamW begins where it finds no state
            self.state[weight]["first"] = value
        return loss
