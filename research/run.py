"""A run: its folder, its name, and the loggers and callbacks that every run has."""

import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from research.checkpoints import LAST, PREVIOUS
from research.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

CHOSEN = "HYBRID_RUN_FOLDER"  # tells the other processes of a run which folder the first one chose


@dataclass
class Run:
    """How a run is named, tracked and saved.

    Args:
        name: the default is the name of the last config file.
        folder: where runs lie.
        tags: free words for the trackers.
        wandb: ``offline`` keeps the W&B run in the run's folder, ``online`` sends it; or ``disabled``.
        project: W&B project.
        group: W&B group, of runs that belong together.
        tensorboard: also write TensorBoard events; needs the extra ``tensorboard``.
        checkpoint_every: optimiser steps between two checkpoints, at least 1.
        checkpoint_async: write checkpoints while training goes on, from a copy in main memory.
    """

    name: str | None = None
    folder: str = "runs"
    tags: list[str] = field(default_factory=list)
    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = "hybrid-fine-tuning"
    group: str | None = None
    tensorboard: bool = False
    checkpoint_every: int = 100
    checkpoint_async: bool = False

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise UserError(f"run.checkpoint_every is {self.checkpoint_every}; it must be at least 1")
        if self.name is not None and not re.fullmatch(r"[\w.+-]+", self.name):
            raise UserError(f"run.name is '{self.name}'; use letters, digits and .+-_ alone")

    def versions(self) -> list[Path]:
        """The folders of earlier runs of this name, the newest last: ``name``, ``name-2``, ``name-3`` ..."""
        assert self.name is not None
        pattern = re.compile(re.escape(self.name) + r"(?:-(\d+))?")
        found = [(int(m[1] or 1), p) for p in Path(self.folder).glob("*") if (m := pattern.fullmatch(p.name))]
        return [path for _, path in sorted(found)]

    def new_folder(self) -> Path:
        """A folder that no earlier run has used; the same one for all processes of a run."""
        from research.launch import agreed

        if CHOSEN not in os.environ:
            os.environ[CHOSEN] = agreed(lambda: str(self._made()))
        return Path(os.environ[CHOSEN])

    def _made(self) -> Path:
        for number in itertools.count(1):
            path = Path(self.folder) / (f"{self.name}-{number}" if number > 1 else str(self.name))
            try:
                path.mkdir(parents=True)
            except FileExistsError:  # an earlier run's, or one that starts at this moment
                continue
            except OSError as error:
                raise UserError(f"run.folder {self.folder}: cannot be written ({error.strerror})") from None
            return path
        raise AssertionError

    def has_checkpoint(self) -> bool:
        """Whether an earlier run of this name has left one."""
        return any(any(folder.glob("checkpoints/*.ckpt")) for folder in self.versions())

    def last_checkpoints(self) -> list[Path]:
        """The last checkpoint of the newest run of this name that has any, and the one before it if there is one.

        Raises:
            UserError: if there is none.
        """
        for folder in reversed(self.versions()):
            last, previous = (folder / "checkpoints" / name for name in (LAST, PREVIOUS))
            if previous.exists():
                return [last, previous]
            if last.exists():
                return [last]
        raise UserError(f"--ckpt_path last: no checkpoint of a run named '{self.name}' under {self.folder}/")


def loggers(run: Run, folder: Path, config: dict[str, Any]) -> "list[Logger]":
    """CSV always, W&B and TensorBoard as the run wants. W&B out of reach never stops a run."""
    from research.callbacks.csv_log import CSVLog

    chosen: list[Logger] = [CSVLog(folder)]
    if run.tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        try:
            chosen.append(TensorBoardLogger(folder, name="", version="tensorboard"))
        except ModuleNotFoundError:
            extra = "pip install 'hybrid-fine-tuning[tensorboard]'"
            raise UserError(f"run.tensorboard needs the extra: {extra}") from None
    if run.wandb != "disabled":
        from research.callbacks.wandb_log import wandb_logger

        chosen += wandb_logger(run, folder, config)
    return chosen
