"""Strategies whose processes write a checkpoint together, each its part, into one folder."""

import io
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException

from research.checkpoints.reading import META
from research.checkpoints.shards import digests, seal
from research.checkpoints.writing import AtomicCheckpointIO, put_in_place, remove, unfinished, unwritten
from research.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ModelParallelStrategy as Base
else:
    Base = object


class Folders(Base):
    """Comes before Lightning's ``ModelParallelStrategy``: its folders too are there whole or not at all, with
    checksums, and written beside the training where the checkpoint IO is one that does so.

    Where one cannot be written, all processes note it in the checkpoint IO, as one process does of a file.
    """

    sharded: bool  # whether it writes folders; or the first process writes a file
    writers: dist.ProcessGroup | None = None  # the training has its own

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        if not self.sharded:
            super().save_checkpoint(checkpoint, filepath, storage_options)
            return
        assert isinstance(self.checkpoint_io, AtomicCheckpointIO)
        self.checkpoint_io.wait()
        self.writers = self.writers or dist.new_group(backend="gloo")
        path = Path(self.broadcast(filepath))
        moments = {f"optimizer_{i}": state for i, state in enumerate(checkpoint.pop("optimizer_states", []))}
        parts = self.checkpoint_io.held({"state_dict": checkpoint.pop("state_dict"), **moments})
        rest = io.BytesIO()
        torch.save(checkpoint, rest)
        self.checkpoint_io.write(lambda: self._write(path, parts, rest.getvalue()))

    def _write(self, path: Path, parts: dict[str, Any], rest: bytes) -> None:
        """Write of ``parts`` what is this process's, and on the first one the ``rest`` of the checkpoint.

        Raises:
            UserError: on all processes, if one of them cannot write.
        """
        from torch.distributed.checkpoint import save

        work = unfinished(path)
        try:
            save(parts, checkpoint_id=work, process_group=self.writers)
            if self.is_global_zero:
                (work / META).write_bytes(rest)
            mine = Written(digests(work, self.global_rank))
        except (CheckpointException, Exception) as error:  # whatever it is, the others wait to hear of it
            mine = Written(failure=unwritten(path, error))
        written = [mine] * self.world_size
        dist.all_gather_object(written, mine, self.writers)
        outcome = [next((each.failure for each in written if each.failure), None)]
        if self.is_global_zero:
            try:
                if outcome[0] is None:
                    seal(work, {name: digest for each in written for name, digest in each.digests.items()})
                    put_in_place(work, path)
            except OSError as error:
                outcome[0] = unwritten(path, error)
            if outcome[0] is not None:
                with suppress(OSError):
                    remove(work)
        dist.broadcast_object_list(outcome, 0, self.writers)
        if outcome[0] is not None:
            raise outcome[0]


@dataclass
class Written:
    """What one process has to say of its part: the digest of each of its files, or why there is none."""

    digests: dict[str, str] = field(default_factory=dict)
    failure: UserError | None = None
