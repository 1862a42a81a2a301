"""Checkpoints in shards: a folder that the processes of a run write together, and one file made from it."""

import json
import pickle
from pathlib import Path, PosixPath
from typing import Any

import torch

from research.checkpoints.reading import META, in_folder, is_sharded_checkpoint, unreadable
from research.checkpoints.writing import sync
from research.errors import UserError
from research.models.backbone import files_digest

CHECKSUMS, INDEX = "checksums.json", ".metadata"


def digests(folder: Path, rank: int = 0) -> dict[str, str]:
    """See that what a process has written is on the disk; an XXH3 of each of its files, which it reads again."""
    mine = [*folder.glob(f"__{rank}_*"), *([folder / INDEX, folder / META] if rank == 0 else [])]
    for path in mine:
        sync(path)
    return {path.name: files_digest([path]) for path in mine}


def seal(folder: Path, digests: dict[str, str]) -> None:
    """Note the digest of every file in the folder."""
    (folder / CHECKSUMS).write_text(json.dumps(digests))
    sync(folder / CHECKSUMS)


def described(folder: Path, key: str = "--ckpt_path") -> dict[str, Any]:
    """All of a sealed folder but weights and moments, after its checksums have been compared.

    Raises:
        UserError: if it is no checkpoint in shards, if a file in it is missing or altered, or if it would run code.
    """
    if not is_sharded_checkpoint(folder):
        reason = in_folder(folder) if folder.is_dir() else "not a checkpoint in shards, which is a folder"
        raise UserError(f"{key} {folder}: {reason}")
    try:
        for name, digest in json.loads((folder / CHECKSUMS).read_text()).items():
            if files_digest([folder / name]) != digest:
                raise ValueError(f"{name} in it does not have its checksum")
        with (folder / INDEX).open("rb") as file:
            IndexUnpickler(file).load()
        meta: dict[str, Any] = torch.load(folder / META, map_location="cpu", weights_only=True)
    except Exception as error:
        raise unreadable(key, folder, error) from None
    if "hybrid" not in meta:
        raise UserError(f"{key} {folder}: not a checkpoint of this program")
    return meta


def consolidated(folder: Path, key: str) -> dict[str, Any]:
    """The checkpoint of a folder of shards, as one process would have written it; it has to fit into memory."""
    from lightning.fabric.utilities.load import _load_distributed_checkpoint

    described(folder, key)
    checkpoint = _load_distributed_checkpoint(folder)
    if "model" in checkpoint:  # so FSDP calls what FSDP2 calls as a file does
        checkpoint["state_dict"] = checkpoint.pop("model")
    moments = sorted(name for name in checkpoint if name.startswith("optimizer_"))
    checkpoint["optimizer_states"] = [checkpoint.pop(name) for name in moments]
    return checkpoint


class IndexUnpickler(pickle.Unpickler):
    """Reads the index of shards, which torch unpickles without a look, with the few things it is made of alone."""

    def find_class(self, module: str, name: str) -> Any:
        from torch.distributed.checkpoint import filesystem, metadata

        own = [kind for kind in vars(metadata).values() if getattr(kind, "__module__", "") == metadata.__name__]
        for known in (*own, filesystem._StorageInfo, torch.Size, torch.serialization._get_layout, PosixPath):
            if (module, name) == (known.__module__, known.__qualname__):
                return known
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"{module}.{name}")
