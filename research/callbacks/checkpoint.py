"""Checkpoints that are written whole or not at all, at set steps and when the run is told to stop."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from lightning import Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from research.errors import UserError

if TYPE_CHECKING:
    from lightning import LightningModule

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # the last when the time of a SLURM job is nearly up


class Stopped(BaseException):
    """The run was told to stop, and has saved itself. Lightning lets it pass as it would a KeyboardInterrupt."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.number, self.step = number, step


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a kill or a full disk leaves the last checkpoint as it was."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        work = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with work.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(work, target)
        except BaseException as error:
            work.unlink(missing_ok=True)
            if isinstance(error, OSError | RuntimeError):  # torch reports a failed write as a RuntimeError
                raise UserError(
                    f"{target}: the checkpoint cannot be written ({str(error).splitlines()[0]}); the one before it "
                    "is kept; free disk space or set run.folder"
                ) from None
            raise

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)


def load_checkpoint(path: Path, map_location: Any = "cpu", key: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint without running code from it; ``key`` is the setting that names it.

    Raises:
        UserError: if it is missing, torn, or not one of ours.
    """
    if not path.is_file():
        raise UserError(f"{key} {path}: no such file")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(f"{key} {path}: not a readable checkpoint ({str(error).splitlines()[0]})") from None
    if "hybrid" not in checkpoint:
        raise UserError(f"{key} {path}: not a checkpoint of this program")
    return checkpoint


class ResumeCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` of the run, and saves it when SIGINT, SIGTERM or SIGUSR1 ask to stop.

    Where validation is due after a step, the checkpoint waits for it, so that a resumed run neither skips nor
    repeats it; and it never lies between the batches of one accumulated gradient.

    Args:
        folder: the run's folder.
        every: optimiser steps between two checkpoints, at least 1.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path, self.every = folder / "checkpoints" / "last.ckpt", every
        self.told: int | None = None
        self.saved_at = 0
        self.handlers: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.saved_at = trainer.global_step
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
        self._save(trainer)
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: "LightningModule", exception: BaseException) -> None:
        self._restore()

    def _step_done(self, trainer: Trainer) -> None:
        told = self.told or 0
        if trainer.world_size > 1:  # all stop by one signal, whichever process it has reached
            here = torch.tensor(told, device=trainer.strategy.root_device)
            told = int(trainer.strategy.reduce(here, reduce_op="max"))
        if told or trainer.global_step >= self.saved_at + self.every:
            self._save(trainer)
        if told and trainer.global_step < trainer.estimated_stepping_batches:  # bounded by steps or by epochs
            raise Stopped(told, trainer.global_step)

    def _save(self, trainer: Trainer) -> None:
        if self.saved_at != trainer.global_step:
            trainer.save_checkpoint(self.path)
            self.saved_at = trainer.global_step

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.told = number
        signal.signal(number, signal.SIG_DFL)  # a second one stops at once

    def _restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers.clear()
