"""AdamW, or another optimiser, over parameter groups: no decay for biases and norms, lower rates for lower layers."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from research.errors import UserError
from research.schedules import Linear, Schedule

KEY = "model.optimisation"
Named = Iterable[tuple[str, nn.Parameter]]
DepthOf = Callable[[str], int | None]


def parameter_groups(
    parameters: Named,
    depth_of: DepthOf,
    depths: int,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    head_lr: float | None = None,
    heads_apart: bool = False,
) -> list[dict[str, Any]]:
    """Groups for ``torch.optim``, one for each pair of rate and weight decay.

    A parameter at depth d of n has the rate ``lr * layer_decay ** (n + 1 - d)``, so embeddings (d = 0) learn
    slowest (Howard & Ruder 2018; Clark et al. 2020). Parameters of at most one dimension (biases and norms)
    do not decay. Frozen parameters are left out, and one that has several names belongs to the first of them.

    Args:
        parameters: as ``named_parameters()`` gives them.
        depth_of: 0 for the name of an embedding, 1 to n for one of a layer, none for one of a head.
        depths: n, the number of layers.
        lr: peak rate, > 0.
        weight_decay: decoupled weight decay, >= 0 (Loshchilov & Hutter 2019).
        layer_decay: in (0, 1]; 1 gives all layers the same rate.
        head_lr: peak rate of heads, > 0; ``lr`` where it is none.
        heads_apart: heads share no group with the backbone, whose groups are marked ``pretrained``.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay`` and a unique ``name`` such as ``layer_2/decay``.
    """
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    parts: dict[tuple[float, float, bool], dict[str, None]] = {}  # an ordered set: what a group is made of
    seen: set[int] = set()
    for name, parameter in parameters:
        if not parameter.requires_grad or id(parameter) in seen:
            continue
        seen.add(id(parameter))
        depth = depth_of(name)
        if depth is None:
            part, rate = "head", lr if head_lr is None else head_lr
        else:
            part = "backbone" if layer_decay == 1 else f"layer_{depth}" if depth else "embeddings"
            rate = lr * layer_decay ** (depths + 1 - depth)
        decay = weight_decay if parameter.ndim > 1 else 0.0
        key = rate, decay, heads_apart and depth is None
        group = {"params": [], "lr": rate, "weight_decay": decay, "pretrained": heads_apart and depth is not None}
        groups.setdefault(key, group)["params"].append(parameter)
        parts.setdefault(key, {})[part] = None
    for key, group in groups.items():
        group["name"] = "+".join(parts[key]) + ("/decay" if group["weight_decay"] else "/no_decay")
    return list(groups.values())


@dataclass(frozen=True)
class Optimisation:
    """Settings of AdamW (Loshchilov & Hutter 2019), or of another optimiser, and its schedule.

    Args:
        lr: peak learning rate, > 0.
        weight_decay: decoupled weight decay, >= 0.
        betas: decay rates of both moments, in [0, 1).
        eps: > 0, added to the root of the second moment.
        layer_decay: each layer's rate relative to the one above it, in (0, 1].
        head_lr: peak rate of heads, > 0; ``lr`` where it is none.
        schedule: the share of the peak rate that each step uses.
        optimiser: instead of AdamW, by class_path and its own settings, such as
            ``research.optimisers.RecAdam`` or ``torch.optim.SGD``; rates and weight decay come from here, betas and
            eps do not.

    Raises:
        UserError: if a setting is out of its range.
    """

    lr: float = 5e-5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    layer_decay: float = 1.0
    head_lr: float | None = None
    schedule: Schedule = field(default_factory=Linear)
    optimiser: Callable[[Iterable[Any]], Optimizer] | None = None

    def __post_init__(self) -> None:
        def check(name: str, valid: bool, range: str) -> None:
            if not valid:
                raise UserError(f"{KEY}.{name} is {getattr(self, name)}; it must {range}")

        check("lr", 0 < self.lr < math.inf, "be greater than 0")
        check("weight_decay", 0 <= self.weight_decay < math.inf, "be 0 or greater")
        check("betas", all(0 <= beta < 1 for beta in self.betas), "lie in [0, 1)")
        check("eps", 0 < self.eps < math.inf, "be greater than 0")
        own = self.optimiser is None or (self.betas, self.eps) == (type(self).betas, type(self).eps)
        check("optimiser", own, "have betas and eps among its own settings")
        check("layer_decay", 0 < self.layer_decay <= 1, "lie in (0, 1]")
        check("head_lr", self.head_lr is None or 0 < self.head_lr < math.inf, "be greater than 0")

    def build(
        self,
        named_parameters: Named,
        depth_of: DepthOf,
        depths: int,
        total_steps: int,
        more: Sequence[dict[str, Any]] = (),
    ) -> tuple[Optimizer, LambdaLR]:
        """The optimiser and its scheduler, to be stepped after each of ``total_steps`` optimiser steps.

        ``depth_of`` and ``depths`` are as in :func:`parameter_groups`; ``more`` are groups beside those.

        Raises:
            UserError: if no parameter is left to train, or the length of the run is not known.
        """
        if not 1 <= total_steps < math.inf:
            raise UserError(f"trainer.max_steps: a schedule needs a known number of steps, not {total_steps}")
        rates = self.lr, self.weight_decay, self.layer_decay, self.head_lr
        groups = parameter_groups(named_parameters, depth_of, depths, *rates, self.optimiser is not None)
        if not groups:
            raise UserError("model.student: every parameter is frozen; leave some to train")
        optimiser: Any = (self.optimiser or self._adamw)([*more, *groups])
        # Fused kernels can undo a gradient scaler's factor themselves, and for that Lightning refuses to clip
        # gradients under mixed precision, even without a scaler. We do not ask it of them.
        optimiser._step_supports_amp_scaling = False
        return optimiser, LambdaLR(optimiser, lambda step: self.schedule.factor(step, total_steps))

    def _adamw(self, groups: list[dict[str, Any]]) -> AdamW:
        return AdamW(groups, betas=self.betas, eps=self.eps, fused=fusible(groups))


def fusible(groups: Iterable[dict[str, Any]]) -> bool | None:
    """True where torch's fused kernels are the fast ones on the CPU; elsewhere none leaves the choice to torch."""
    tensors = [parameter for group in groups for parameter in group["params"]]
    return all(p.device.type == "cpu" and p.dtype == torch.float32 for p in tensors) or None
