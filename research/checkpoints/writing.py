"""Checkpoints that are written whole or not at all; the one before the last is kept."""

import io
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from research.checkpoints import LAST, PREVIOUS
from research.checkpoints.reading import load_checkpoint
from research.errors import UserError


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write one file, with a CRC-32 of each tensor in it; what cannot be written leaves all files as they were.

    Raises:
        UserError: with the reason and the free space, if it cannot be written.
    """
    write_file(path, lambda file: torch.save(checkpoint, file))


def write_file(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Let ``save`` fill a new file, see that it is on the disk, and give it its name."""
    work = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with work.open("wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(work, path)
    except BaseException as error:
        with suppress(OSError):
            remove(work)
        if (death := of_a_worker(error)) is not None:
            raise death from None
        if isinstance(error, OSError | RuntimeError):  # torch reports a failed write as a RuntimeError
            raise unwritten(path, error) from None
        raise


def of_a_worker(error: BaseException | None) -> BaseException | None:
    """The error, if that led to this one, which torch raises anywhere when it hears that a loader's worker has died."""
    while error is not None and "DataLoader worker" not in str(error):
        error = error.__context__
    return error


def unfinished(path: Path) -> Path:
    """Where a checkpoint lies until it is whole."""
    return path.with_name(f".{path.name}.new")


def put_in_place(work: Path, path: Path) -> None:
    """Give a whole checkpoint, a file or a folder, its name; what was the last one becomes the one before it."""
    if path.name == LAST and path.exists():
        remove(path.with_name(PREVIOUS))
        os.replace(path, path.with_name(PREVIOUS))
    elif path.is_dir():
        remove(path)
    os.replace(work, path)
    sync(path.parent)  # the names are on the disk too


def sync(path: Path) -> None:
    """Come back when a file or the names in a folder are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove(path: Path) -> None:
    """Remove a checkpoint, whichever kind it is, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unwritten(path: Path, error: BaseException) -> UserError:
    """What to say of a checkpoint that cannot be written."""
    cause = error if isinstance(error, OSError) else error.__context__ or error
    reason = getattr(cause, "strerror", None) or (str(cause).splitlines() or [type(cause).__name__])[0]
    free = ""
    with suppress(OSError):
        free = f"; {shutil.disk_usage(path.parent).free / 1e9:.3g} GB free in {path.parent}"
    advice = "the one before it is kept; free disk space or set run.folder"
    return UserError(f"{path}: the checkpoint cannot be written ({reason}{free}); {advice}")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes and reads for Lightning's trainer. A failed write is kept in ``error`` until another one succeeds."""

    error: UserError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.write(lambda: write_checkpoint(checkpoint, Path(path)))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        self.wait()
        if self.error is None:  # the one that was to take its place is there
            remove(Path(path))

    def held(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state for a ``write`` to come."""
        return state

    def write(self, save: Callable[[], None]) -> None:
        """Call what writes a checkpoint."""
        try:
            save()
            self.error = None
        except UserError as error:
            self.error = error

    def wait(self) -> None:
        """Come back when all that was to be written is written, or has failed."""


class AsyncCheckpointIO(AtomicCheckpointIO):
    """Training waits for a copy in main memory alone; a thread writes it, one at a time.

    Lightning's own keeps its copies on the device, one for every write that has not ended, and writes tied weights
    twice.
    """

    writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.wait()
        copy = io.BytesIO()
        torch.save(checkpoint, copy)
        self.write(lambda: write_file(Path(path), lambda file: file.write(copy.getbuffer())))

    def held(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of it in main memory, where divided tensors stay divided."""
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        stager = DefaultStager(StagingOptions(False, False, False, False))  # plain memory, copied at once
        try:
            copy: Any = stager.stage(state)
            return copy
        finally:
            stager.close()

    def write(self, save: Callable[[], None]) -> None:
        self.wait()
        thread = ThreadPoolExecutor(1)  # the interpreter's exit waits for it
        self.writing = thread.submit(super().write, save)
        thread.shutdown(wait=False)

    def wait(self) -> None:
        if self.writing is not None:
            writing, self.writing = self.writing, None
            writing.result()

    def teardown(self) -> None:
        self.wait()
