"""An objective that goes wrong on the batches with one example, and a callback that writes down each step's weights."""

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback
from torch import Tensor

from research.objectives import Classification
from research.step import Step


class Poisoned(Classification):
    """``always`` also on all others."""

    def __init__(
        self, stream: str, what: Literal["loss", "gradient", "spike"], example: int = 3, always: bool = False
    ) -> None:
        super().__init__(stream)
        self.what, self.example, self.always = what, example, always

    def forward(self, step: Step) -> Tensor:
        loss = super().forward(step)
        index = step.batches[self.stream].index
        assert index is not None
        if not (self.always or self.example in index):
            return loss
        if self.what == "gradient":  # of a root at 0, which is finite itself
            return loss + (0 * loss).sqrt()
        return loss * (torch.nan if self.what == "loss" else 1000.0)


class Witness(Callback):
    """Writes after each step a digest of weights and moments, and whether example 3 was there, a file a process."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        states = trainer.optimizers[0].state.values()
        tensors = [*pl_module.state_dict().values(), *(v for s in states for v in s.values())]
        digest = hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in tensors if t is not None)).hexdigest()
        with (self.folder / f"rank{os.environ.get('LOCAL_RANK', 0)}.txt").open("a") as file:
            file.write(f"{digest} {int(3 in batch['intents'].index)}\n")
