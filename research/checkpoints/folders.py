"""Strategies whose processes write a checkpoint together, each its part, into one folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributed.checkpoint.api import CheckpointException

from research.checkpoints.shards import seal
from research.checkpoints.writing import AtomicCheckpointIO, put_in_place, remove, unfinished, unwritten

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ParallelStrategy as Base
else:
    Base = object


class Folders(Base):
    """Comes before a strategy of Lightning's: its folders too are there whole or not at all, with checksums.

    Where one cannot be written, all processes note it in the checkpoint IO, as one process does of a file.
    """

    sharded: bool  # whether it writes folders; or the first process writes a file

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        if not self.sharded:
            super().save_checkpoint(checkpoint, filepath, storage_options)
            return
        assert isinstance(self.checkpoint_io, AtomicCheckpointIO)
        path = Path(self.broadcast(filepath))
        work, failure = unfinished(path), None
        if self.is_global_zero:
            remove(work)
        self.barrier()
        try:
            super().save_checkpoint(checkpoint, work)
        except (CheckpointException, OSError, RuntimeError) as error:
            failure = error
        if self.reduce_boolean_decision(failure is not None, all=False):
            if self.is_global_zero:
                remove(work)
            self.checkpoint_io.error = unwritten(path, failure or OSError("by another process"))
            return
        seal(work)
        if self.is_global_zero:
            put_in_place(work, path)
        self.barrier()
        self.checkpoint_io.error = None
