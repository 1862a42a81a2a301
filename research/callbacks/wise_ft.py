"""Between the fine-tuned weights and the first ones (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903)."""

from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer

from research.averaging.first import first_weights
from research.errors import UserError
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class WiSEFT(Callback, Whole):
    """``test``, ``predict`` and ``validate`` read the backbone ``(1 - start) w + start w_0``, and heads as they are.

    Neither the training, with the validations in it, nor the checkpoint is changed: ``average --start`` writes one.

    Args:
        start: the first weights' share, in [0, 1].
    """

    def __init__(self, start: float = 0.5) -> None:
        if not 0 <= start <= 1:
            raise UserError(f"start is {start}; it must lie in [0, 1]")
        self.start = start

    def on_test_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self._mix(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self._mix(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "validate":
            self._mix(pl_module)

    @torch.no_grad()
    def _mix(self, module: Any) -> None:
        first = first_weights(module.config)
        for name, weight in module.student.model.named_parameters():  # tied ones once
            weight.lerp_(first[name].to(weight.device), self.start)
