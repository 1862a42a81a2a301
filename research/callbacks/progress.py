"""How far a command has come: bars on a terminal, and in a file lines of plain text, twenty in a run."""

import sys
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from tqdm import tqdm  # type: ignore[import-untyped]

LINES = 20  # of a run
LINE = "{desc}{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


def progress() -> ProgressBar:
    """What suits standard output, on which Lightning draws its bars."""
    return Bars() if sys.stdout.isatty() else Lines()


class Bars(TQDMProgressBar):
    """Lightning's bars, which call held-out data by their stream and not by its number."""

    def on_validation_batch_start(self, trainer: Trainer, *rest: Any) -> None:
        super().on_validation_batch_start(trainer, *rest)
        self._name(self.val_progress_bar, "Validation", trainer, *rest)

    def on_test_batch_start(self, trainer: Trainer, *rest: Any) -> None:
        super().on_test_batch_start(trainer, *rest)
        self._name(self.test_progress_bar, "Test", trainer, *rest)

    def on_predict_batch_start(self, trainer: Trainer, *rest: Any) -> None:
        super().on_predict_batch_start(trainer, *rest)
        self._name(self.predict_progress_bar, "Prediction", trainer, *rest)

    def _name(
        self, bar: Any, what: str, trainer: Trainer, module: Any, batch: Any, position: int, loader: int = 0
    ) -> None:
        if position == 0:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            streams = data.held_out_streams("validation" if what == "Validation" else "test")
            bar.set_description(f"{what}, {streams[loader]}")


class Lines(ProgressBar):
    """Steps, times and losses of training without the codes by which a bar moves the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.speaks, self.said = True, 0

    def disable(self) -> None:
        self.speaks = False

    def enable(self) -> None:
        self.speaks = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        module: Any = pl_module
        step, total = trainer.global_step, module.total_steps
        every = max(total // LINES, 1)
        if not self.speaks or step == self.said or (step % every and step != total):
            return
        self.said = step
        figures: Any = trainer.progress_bar_metrics
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        seconds = time.monotonic() - self.since
        print(tqdm.format_meter(step, total, seconds, prefix="step ", unit=" steps", postfix=told, initial=self.first,
                                bar_format=LINE), flush=True)  # fmt: skip
