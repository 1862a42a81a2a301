"""Checkpoints that are folders, to which each process writes its part, replaced as a whole or not at all."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributed.checkpoint.api import CheckpointException

from research.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ParallelStrategy as Base
else:
    Base = object


class Folders(Base):
    """For a strategy whose own ``save_checkpoint`` fills a folder: the checkpoint is a link to the last full one."""

    sharded: bool

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        if not self.sharded:
            super().save_checkpoint(checkpoint, filepath, storage_options)
            return
        path = Path(self.broadcast(filepath))
        folder = path.with_name(f".{path.name}.{checkpoint['global_step']}")
        before = path.resolve() if path.is_symlink() else None
        if self.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it wrote
        self.barrier()
        try:
            super().save_checkpoint(checkpoint, folder)
        except (CheckpointException, OSError, RuntimeError) as error:
            if self.is_global_zero:
                shutil.rmtree(folder, ignore_errors=True)
            reason = str(error).splitlines()[-1]
            raise UserError(
                f"{path}: the checkpoint cannot be written ({reason}); the one before it is kept; free disk space or "
                "set run.folder"
            ) from None
        self.barrier()
        if self.is_global_zero:
            point(path, folder)
            if before is not None and before != folder.resolve():
                shutil.rmtree(before, ignore_errors=True)

    def remove_checkpoint(self, filepath: Any) -> None:
        path = Path(filepath)
        if not path.is_symlink():
            super().remove_checkpoint(filepath)
        elif self.is_global_zero:
            folder = path.resolve()
            path.unlink()
            shutil.rmtree(folder)


def point(link: Path, folder: Path) -> None:
    """Make ``link`` one to a folder beside it, in one step."""
    new = link.with_name(f".{link.name}.link")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
