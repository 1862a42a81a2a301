"""Checkpoints are checked before they are read, and no code in them is run."""

import logging
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from research import __version__
from research.checkpoints import LAST
from research.errors import UserError

META = "meta.pt"  # in a folder of shards: all but weights and moments
log = logging.getLogger(__name__)


class Unreadable(UserError):
    """A checkpoint that is missing or damaged, for which the one before it will do."""


def load_checkpoint(path: Path, map_location: Any = "cpu", key: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint without running code from it; ``key`` is the setting that names it.

    Its tensors are mapped from the file, after the CRC-32 of each has been compared.

    Raises:
        UserError: if it is missing, torn, altered, in shards, or not one of ours.
    """
    if path.is_dir():
        raise UserError(f"{key} {path}: {in_folder(path)}")
    if not path.is_file():
        raise Unreadable(f"{key} {path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself reads a flipped bit without a word
        if damaged is not None:
            raise ValueError(f"{Path(damaged).name} in it does not have its checksum")
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    except Exception as error:
        raise unreadable(key, path, error) from None
    if not isinstance(checkpoint, dict) or "hybrid" not in checkpoint:
        raise UserError(f"{key} {path}: not a checkpoint of this program")
    return checkpoint


def run_of(checkpoint: dict[str, Any], name: str) -> dict[str, Any]:
    """What a checkpoint keeps of its run beside the state: config, streams, tokenizer.

    Raises:
        UserError: if it lacks what this version needs, beginning with ``name``.
    """
    run: dict[str, Any] = checkpoint["hybrid"]
    if "streams" not in run:
        version = run.get("version", "an earlier one")
        told = f"lacks the streams, which version {__version__} needs (it was written by {version})"
        raise UserError(f"{name}: {told}; fit it again")
    return run


def unreadable(key: str, path: Path, error: Exception) -> Unreadable:
    """What to say of a damaged checkpoint, or of one that would run code."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, pickle.UnpicklingError):  # torch would tell how to run the code
        reason = "it asks for more than tensors and plain values, and no code in it is run"
    return Unreadable(f"{key} {path}: not a readable checkpoint ({reason})")


def first_sound(paths: Sequence[Path], read: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The first checkpoint that can be read, and what was read; one line says which were passed over, and why.

    Raises:
        UserError: if there is none.
    """
    bad: list[str] = []
    for path in paths:
        try:
            checkpoint = read(path)
        except Unreadable as error:
            bad.append(str(error))
            continue
        if bad:
            _say(f"{'; '.join(bad)}; used instead: {path}, of step {checkpoint['global_step']}")
        return path, checkpoint
    raise Unreadable("; ".join(bad))


@rank_zero_only
def _say(text: str) -> None:
    log.warning(text)


def in_folder(path: Path) -> str:
    """Why a folder is not what was wanted."""
    if is_sharded_checkpoint(path):
        command = f"python -m research.cli checkpoint consolidate {path} --output FILE"
        return f"a checkpoint in shards, which only the strategy that wrote it reads; make one file of it: {command}"
    found = next((file for file in (path / LAST, path / "checkpoints" / LAST) if file.exists()), None)
    return f"a folder; name a file, such as {found}" if found else f"a folder; name a file: no {LAST} is in it"


def is_sharded_checkpoint(path: Path) -> bool:
    """Whether Lightning's FSDP wrote this folder, each process its part."""
    return (path / META).is_file()
