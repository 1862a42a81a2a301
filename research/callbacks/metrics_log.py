"""Writes each step's figures to the loggers before the checkpoint of that step, so that no resumed log has a gap."""

import math
import time
from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.callbacks.csv_log import CSVLog
from research.callbacks.loss_guard import LossGuard
from research.callbacks.memory import peak_memory
from research.data.batch import Batch
from research.errors import UserError

if TYPE_CHECKING:
    from lightning import LightningModule


class MetricsLog(Callback):
    """Losses, weights, learning rate and gradient norm of the module, real tokens a second, and peak memory in GB.

    ``waiting_for_data`` is the share of the time between two rows in which the next batch was not there yet.

    A loss that is not finite ends the run before it can reach a checkpoint, unless a :class:`LossGuard` answers for it.
    """

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLog):
                logger.rewind(trainer.fit_loop.epoch_loop.batch_progress.total.processed)  # type: ignore[attr-defined]
        self._begin(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: "LightningModule",
        outputs: Any,
        batch: dict[str, Batch | None],
        batch_idx: int,
    ) -> None:
        module: Any = pl_module
        figures: dict[str, float] = {name: float(value) for name, value in module.figures.items()}
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        bad = [name for name, value in figures.items() if name.startswith("loss") and not math.isfinite(value)]
        if bad and not any(isinstance(callback, LossGuard) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            names = ", ".join(name.removeprefix("loss/") for name in bad if name != "loss") or "the weighted sum"
            raise UserError(
                f"step {step}: the loss of {names} is not finite; lower model.optimisation.lr or set "
                "trainer.gradient_clip_val, then go on from the last checkpoint; or let a LossGuard skip such steps"
            )
        self.tokens += trainer.world_size * sum(b.real_tokens for b in batch.values() if b is not None)
        if step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        seconds = time.perf_counter() - self.since
        figures["tokens_per_second"] = self.tokens / seconds
        figures["waiting_for_data"] = data.training.waited / seconds
        figures["peak_memory_gb"] = peak_memory()
        figures["epoch"] = trainer.current_epoch
        self._begin(trainer)
        for logger in trainer.loggers:
            logger.log_metrics(figures, step)

    def on_validation_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.tokens, self.since, data.training.waited = 0, time.perf_counter(), 0.0
