"""How hard each objective pulls at the backbone, and which of them pull against each other."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from research.errors import UserError
from research.sharding import Whole
from research.weighting.aggregation import gramian_of
from research.weighting.gradients import divided, gradient

if TYPE_CHECKING:
    from lightning import LightningModule

NAME = "trainer.callbacks: ObjectiveGradients"


class ObjectiveGradients(Callback, Whole):
    """Adds ``gradient/I`` = ``|g_i|`` and ``cosine/I/J`` = ``<g_i, g_j> / (|g_i| |g_j|)`` to the figures of a step.

    g_i is the gradient of objective I's loss, before its weight, by the trainable parameters of the backbone: of one
    batch, and the mean over the processes. Every so many batches it costs a backward pass an objective, and memory for
    a gradient of the backbone an objective, or with ``parts`` above 1 of one part of it, for which it goes up to
    ``parts`` times as often through the activations. Training is the same with it and without.

    Args:
        every: batches from one measurement to the next, at least 1; a multiple of ``trainer.log_every_n_steps``.
        parts: into how many parts the backbone is divided to save memory, at least 1.
    """

    def __init__(self, every: int = 50, parts: int = 1) -> None:
        for name, value in {"every": every, "parts": parts}.items():
            if value < 1:
                raise UserError(f"{NAME}: {name} is {value}; it must be at least 1")
        self.every, self.parts = every, parts
        self.losses: dict[str, Tensor] = {}  # of a step that is measured, until it goes backward

    def setup(self, trainer: Trainer, pl_module: "LightningModule", stage: str) -> None:
        if stage != "fit":
            return
        logged = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.every % (logged or 1):
            raise UserError(
                f"{NAME}: every is {self.every}; it must be a multiple of trainer.log_every_n_steps {logged}"
            )

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        shared = [p for layer in module.student.shared() for p in layer]
        if not shared:
            raise UserError(f"{NAME} needs a backbone to train; model.student.freeze_layers freezes it")
        self.backbone = divided(shared, self.parts)

        def keep(_: Any, given: tuple[dict[str, Tensor], float]) -> None:
            if trainer.fit_loop.epoch_loop.batch_progress.total.ready % self.every == 0:
                self.losses = dict(given[0])

        self.hook = module.weighting.register_forward_pre_hook(keep)

    def on_before_backward(self, trainer: Trainer, pl_module: "LightningModule", loss: Tensor) -> None:
        module: Any = pl_module
        losses, self.losses = self.losses, {}
        if losses:
            module.figures |= self._measured(loss, losses)

    def on_train_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.hook.remove()

    def _measured(self, loss: Tensor, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The figures; a loss that nothing trainable leads to has the norm 0 and no cosine."""
        names = [name for name, each in losses.items() if each.requires_grad]
        each = [losses[name] for name in names]
        seeds = torch.autograd.grad(loss, each, retain_graph=True) if each else ()  # with a gradient scaler's factor
        gramian = torch.zeros(len(each), len(each), device=loss.device)
        vectors: list[Tensor] = []
        for part in self.backbone:
            vectors.clear()  # of the part before, to make room
            vectors += [gradient([one], [seed], part)[0] for one, seed in zip(each, seeds, strict=True)]
            gramian = gramian + (gramian_of(vectors) if vectors else 0)
        norms = gramian.diagonal().sqrt()
        figures = {f"gradient/{name}": torch.zeros_like(loss) for name in losses}
        for name, norm, seed in zip(names, norms, seeds, strict=True):
            figures[f"gradient/{name}"] = norm / seed.abs()
        for (i, first), (j, second) in combinations(enumerate(names), 2):
            if norms[i] > 0 and norms[j] > 0:
                figures[f"cosine/{first}/{second}"] = gramian[i, j] / (norms[i] * norms[j])
        return {name: value.detach() for name, value in figures.items()}
