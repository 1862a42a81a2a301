"""Backward and forward transfer over a sequence of tasks."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from research.data.sampling import Sequential
from research.errors import UserError
from research.evaluation.transfer import backward_transfer, forgetting, forward_transfer

if TYPE_CHECKING:
    from lightning import LightningModule


class Transfer(Callback):
    """Reads the tasks' figures in the validation at the end of each phase of a ``Sequential`` mixture.

    Logged in ``test`` are ``test/transfer/final`` (their mean at the end), ``backward``, ``forgetting`` and, where
    ``trainer.num_sanity_val_steps`` is -1 so that they are known from before the first step, ``forward``, as
    :mod:`research.evaluation.transfer` defines them; ``transfer.json`` in the run's folder has the matrix. ``forward``
    says something where a head knows its classes before it is trained, as with ``start``: a random one is at chance.

    Args:
        figures: of each phase the figure of its task, higher being better, such as ``validation/NAME/accuracy``.
    """

    def __init__(self, figures: list[str]) -> None:
        if len(figures) < 2:
            raise UserError("trainer.callbacks: Transfer: figures: give two tasks at least")
        self.figures = figures
        self.rows: dict[int, list[float]] = {}  # by the phase that has ended; 0 before the first step

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        ends = self._ends(trainer)
        if len(ends) != len(self.figures):
            raise UserError(
                f"trainer.callbacks: Transfer names {len(self.figures)} figures; the mixture has {len(ends)} phases"
            )
        every = trainer.val_check_interval
        if trainer.check_val_every_n_epoch is not None or not isinstance(every, int) or any(e % every for e in ends):
            raise UserError(
                "trainer.callbacks: Transfer needs check_val_every_n_epoch null and a val_check_interval that divides "
                f"the ends of the phases, {', '.join(map(str, ends))}"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn != "fit":
            return
        ends = [0, *self._ends(trainer)]
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        if step not in ends:
            return
        measured = trainer.callback_metrics
        if unknown := [name for name in self.figures if name not in measured]:
            raise UserError(
                f"trainer.callbacks: Transfer: no figure {unknown[0]}; there are "
                f"{', '.join(name for name in measured if name.startswith('validation/'))}"
            )
        self.rows[ends.index(step)] = [float(measured[name]) for name in self.figures]
        self._write(Path(trainer.default_root_dir) / "transfer.json")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if missing := [n for n in range(1, len(self.figures) + 1) if n not in self.rows]:
            raise UserError(f"trainer.callbacks: Transfer: the run has not ended its phase {missing[0]} with Transfer")
        matrix = np.array([self.rows[n] for n in range(1, len(self.figures) + 1)])
        results = {
            "final": float(matrix[-1].mean()),
            "backward": backward_transfer(matrix),
            "forgetting": forgetting(matrix),
        }
        if 0 in self.rows:
            results["forward"] = forward_transfer(matrix, np.array(self.rows[0]))
        pl_module.log_dict({f"test/transfer/{name}": value for name, value in results.items()}, logger=False)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]

    @rank_zero_only
    def _write(self, path: Path) -> None:
        work = path.with_suffix(".new")
        work.write_text(json.dumps({"figures": self.figures, "after_phase": self.rows}, indent=1) + "\n")
        os.replace(work, path)

    def _ends(self, trainer: Trainer) -> list[int]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data.mixture, Sequential):
            raise UserError("trainer.callbacks: Transfer needs data.mixture research.data.sampling.Sequential")
        return data.mixture.ends
