"""A moving average of the student's weights, to validate and to keep (Polyak & Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from research.errors import UserError
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class WeightAverage(Callback, Whole):
    """``a = decay a + (1 - decay) w`` after each optimiser step, from the first weights on.

    Validation measures the averaged student. The checkpoint's ``state_dict`` is the averaged student's, which test and
    predict read; the trained weights stand beside it, so that a run goes on exactly.

    Args:
        decay: in [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}; it must lie in [0, 1)")
        self.update = get_ema_multi_avg_fn(decay)
        self.average: list[Tensor] = []
        self.step = 0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit" and "trained" in checkpoint:
            self.average = copies(pl_module)
            pl_module.load_state_dict(checkpoint["trained"])

    def on_fit_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        weights = trained(pl_module)
        self.average = [a.to(w.device) for a, w in zip(self.average or copies(pl_module), weights, strict=True)]

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        if trainer.global_step > self.step:  # and not between accumulated batches
            self.step = trainer.global_step
            self.update(self.average, [weight.data for weight in trained(pl_module)], self.step)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "fit":
            self._exchange(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "fit":
            self._exchange(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        checkpoint["trained"] = checkpoint["state_dict"]
        with self.averaged(pl_module):
            checkpoint["state_dict"] = pl_module.state_dict()

    @contextmanager
    def averaged(self, module: "LightningModule") -> Iterator[None]:
        """Meanwhile the student has the averaged weights."""
        self._exchange(module)
        try:
            yield
        finally:
            self._exchange(module)

    @torch.inference_mode(False)  # validation runs in it, and what it makes may not be trained
    def _exchange(self, module: "LightningModule") -> None:
        """Let weights and averages change places, without a copy."""
        for i, weight in enumerate(trained(module)):
            weight.data, self.average[i] = self.average[i], weight.data


def trained(module: Any) -> list[nn.Parameter]:
    """The student's parameters that are not frozen, heads among them."""
    return [parameter for parameter in module.student.parameters() if parameter.requires_grad]


def copies(module: Any) -> list[Tensor]:
    """The trained parameters as they are now."""
    return [parameter.detach().clone() for parameter in trained(module)]
