"""Checkpoints at set steps, and when the run is told to stop."""

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from research.checkpoints import LAST, PREVIOUS
from research.checkpoints.writing import AtomicCheckpointIO, remove, unfinished

if TYPE_CHECKING:
    from lightning import LightningModule

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # the last when the time of a SLURM job is nearly up


class Stopped(BaseException):
    """The run was told to stop, and has saved itself. Lightning lets it pass as it would a KeyboardInterrupt."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.number, self.step = number, step


class ResumeCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` of the run and the one before it, and saves when SIGINT, SIGTERM or SIGUSR1 ask
    to stop.

    Where validation is due after a step, the checkpoint waits for it, so that a resumed run neither skips nor
    repeats it; and it never lies between the batches of one accumulated gradient.

    One that cannot be written is told in a line, and training goes on to the next; but a run whose last steps cannot
    be kept ends with that error.

    Args:
        folder: the run's folder.
        every: optimiser steps between two checkpoints, at least 1.
        io: what the trainer writes with.
    """

    def __init__(self, folder: Path, every: int, io: AtomicCheckpointIO) -> None:
        self.path, self.every, self.io = folder / "checkpoints" / LAST, every, io
        self.told: int | None = None
        self.said: Exception | None = None
        self.saved_at = 0
        self.handlers: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.saved_at = trainer.global_step
        if trainer.is_global_zero:
            self._tidy(trainer.ckpt_path)
        for number in SIGNALS:
            self.handlers[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        if not loop._should_accumulate() and not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._step_done(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn == "fit":
            self._step_done(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self._save_all(trainer)
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: "LightningModule", exception: BaseException) -> None:
        self._restore()

    def _step_done(self, trainer: Trainer) -> None:
        told = self.told or 0
        if trainer.world_size > 1:  # all stop by one signal, whichever process it has reached
            here = torch.tensor(told, device=trainer.strategy.root_device)
            told = int(trainer.strategy.reduce(here, reduce_op="max"))
        if told and more_steps(trainer):
            self._save_all(trainer)
            raise Stopped(told, trainer.global_step)
        if trainer.global_step >= self.saved_at + self.every:
            self._save(trainer)
        if self.io.error is not self.said and more_steps(trainer):
            self._say()

    def _save(self, trainer: Trainer) -> None:
        if self.saved_at != trainer.global_step:
            self.io.wait()
            self._say()  # of the one before, which a thread has written
            trainer.save_checkpoint(self.path)
            self.saved_at = trainer.global_step

    @rank_zero_only
    def _say(self) -> None:
        """Tell once of a checkpoint that could not be written."""
        if self.io.error not in (None, self.said):
            log.warning("%s; training goes on, and tries again at the next", self.io.error)
        self.said = self.io.error

    def _save_all(self, trainer: Trainer) -> None:
        """Save, and come back when it is written on all processes, or raise what prevents it."""
        self._save(trainer)
        self.io.wait()
        if (error := trainer.strategy.broadcast(self.io.error)) is not None:
            raise error

    def _tidy(self, resumed: str | Path | None) -> None:
        """Remove what a killed run left unfinished, and let the run's last checkpoint be the one it goes on from."""
        for work in self.path.parent.glob(unfinished(Path("*")).name):
            remove(work)
        previous = self.path.with_name(PREVIOUS)
        if resumed is not None and Path(resumed) == previous:
            remove(self.path)
            previous.replace(self.path)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.told = number
        signal.signal(number, signal.SIG_DFL)  # a second one stops at once

    def _restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers.clear()


def more_steps(trainer: Trainer) -> bool:
    """Whether the run, which steps or epochs bound, is to go on."""
    return trainer.global_step < trainer.estimated_stepping_batches
