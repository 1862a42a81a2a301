"""Outer loops of meta-learning: weights from which a few steps on one task go far."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from research.errors import UserError
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule
    from torch.optim import Optimizer


class MetaLearning(Callback, Whole):
    """An episode is ``length`` steps on one task, from weights phi_0: the inner ones are plain gradient descent,

    ``phi_{i+1} = phi_i - inner_lr g_i``, and at the end phi_0 is moved by the run's optimiser along a gradient made of
    the episode's. The mixture gives an episode its task: ``research.data.sampling.Repeated`` with ``times`` equal to
    ``length``. Learning rate, clipping and weight decay of the run are those of the move at the end. Between two
    episodes the weights are phi_0: let validation and checkpoints that are to be used fall there.

    Args:
        inner_steps: k, at least 1.
        inner_lr: above 0.
    """

    def __init__(self, inner_steps: int = 5, inner_lr: float = 0.01) -> None:
        name = f"trainer.callbacks: {type(self).__name__}"
        if inner_steps < 1:
            raise UserError(f"{name}: inner_steps is {inner_steps}; it must be at least 1")
        if inner_lr <= 0:
            raise UserError(f"{name}: inner_lr is {inner_lr}; it must be above 0")
        self.inner_steps, self.inner_lr = inner_steps, inner_lr
        self.start: list[Tensor] = []  # phi_0, inside an episode

    @property
    @abstractmethod
    def length(self) -> int:
        """Steps of an episode."""

    @abstractmethod
    def outer(self, parameters: list[Tensor], start: list[Tensor]) -> None:
        """Give the parameters, at an episode's last step, the gradient of the move of ``start``."""

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        name = f"trainer.callbacks: {type(self).__name__}"
        if trainer.accumulate_grad_batches != 1:
            raise UserError(f"{name} needs trainer.accumulate_grad_batches 1: an inner step is one of the optimiser")
        steps = trainer.estimated_stepping_batches
        if steps % self.length:
            raise UserError(f"trainer.max_steps is {steps}; {type(self).__name__} needs a multiple of {self.length}")

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: "LightningModule", optimizer: "Optimizer") -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step = trainer.global_step % self.length
        if step == 0:
            self.start = [p.detach().clone() for p in parameters]
        if step < self.inner_steps:
            for p in parameters:
                if p.grad is not None:
                    p -= self.inner_lr * p.grad
        if step < self.length - 1:
            for p in parameters:
                p.grad = None  # which the optimiser passes over
            return
        self.outer(parameters, [s.to(p.device) for s, p in zip(self.start, parameters, strict=True)])
        for p, start in zip(parameters, self.start, strict=True):
            p.copy_(start)
        self.start = []

    def state_dict(self) -> dict[str, Any]:
        return {"start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.start = state["start"]


class Reptile(MetaLearning):
    """The way that k inner steps went: ``(phi_0 - phi_k) / (k inner_lr)``, the mean of their gradients.

    Nichol et al. 2018, arXiv:1803.02999, in the form that hands ``phi_0 - phi_k`` to an optimiser.
    """

    @property
    def length(self) -> int:
        return self.inner_steps

    def outer(self, parameters: list[Tensor], start: list[Tensor]) -> None:
        for p, first in zip(parameters, start, strict=True):
            moved = not torch.equal(p, first)  # a head of another task has not
            p.grad = (first - p) / (self.inner_steps * self.inner_lr) if moved else None


class FirstOrderMAML(MetaLearning):
    """The gradient of one more batch after k inner steps, as if it were that of phi_0.

    Finn et al. 2017, arXiv:1703.03400, without second derivatives. The inner batches are the task's support,
    the last one its queries.
    """

    @property
    def length(self) -> int:
        return self.inner_steps + 1

    def outer(self, parameters: list[Tensor], start: list[Tensor]) -> None:
        """The gradients are there."""
