"""A folder that processes wrote together: checked as a file is, and made one file that has all that was in it."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from research.checkpoints.reading import first_sound, load_checkpoint
from research.checkpoints.shards import CHECKSUMS, INDEX, described, digests, seal
from research.errors import UserError
from research.terminal import run_command

WEIGHTS = {
    "student.weight": torch.randn(40, 30, generator=torch.Generator().manual_seed(1)),
    "student.bias": torch.ones(3),
}
MOMENTS = {
    "state": {name: {"exp_avg": value / 2, "step": torch.tensor(5.0)} for name, value in WEIGHTS.items()},
    "param_groups": [{"lr": 0.1, "params": list(WEIGHTS)}],
}
META = {"hybrid": {"config": {"seed": 3}}, "global_step": 7, "loops": {"fit_loop": {"at": 7}}}


@pytest.fixture(params=["model", "state_dict"])  # as FSDP and FSDP2 name the weights
def folder(request: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "last.ckpt"
    dcp.save({request.param: WEIGHTS, "optimizer_0": MOMENTS}, checkpoint_id=folder, no_dist=True)
    torch.save(META, folder / "meta.pt")
    seal(folder, digests(folder))
    return folder


def test_consolidated(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["checkpoint", "consolidate", str(folder), "--output", str(tmp_path / "whole.ckpt")]
    assert run_command(command) == 0
    whole = load_checkpoint(tmp_path / "whole.ckpt")
    assert whole.keys() == {*META, "state_dict", "optimizer_states"}
    assert {name: whole[name] for name in META} == META
    torch.testing.assert_close(whole["state_dict"], WEIGHTS, rtol=0, atol=0)
    torch.testing.assert_close(whole["optimizer_states"][0]["state"], MOMENTS["state"], rtol=0, atol=0)
    assert whole["optimizer_states"][0]["param_groups"] == MOMENTS["param_groups"]
    assert run_command(command) == 2
    assert "is there already" in capsys.readouterr().err


def test_described(folder: Path) -> None:
    assert described(folder) == META


def test_a_file_that_is_damaged_or_gone(folder: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [INDEX, "__0_0.distcp", CHECKSUMS, "meta.pt"]
    for name in names:
        content = (folder / name).read_bytes()
        middle = len(content) // 2
        for bad in (content[:-3], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], None):
            copy = tmp_path / "copy.ckpt"
            shutil.copytree(folder, copy)
            (copy / name).unlink() if bad is None else (copy / name).write_bytes(bad)
            with pytest.raises(UserError, match=r"not a readable checkpoint|a folder; name a file"):
                described(copy)
            shutil.rmtree(copy)


@pytest.mark.parametrize("name", [INDEX, "meta.pt"])
def test_a_folder_that_would_run_code(
    folder: Path, malicious: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(pickle.dumps(malicious))
    seal(folder, digests(folder))  # whoever forges it forges its checksums
    with pytest.raises(UserError, match="not a readable checkpoint"):
        described(folder)
    assert run_command(["checkpoint", "consolidate", str(folder), "--output", str(folder.parent / "x.ckpt")]) == 2
    assert capsys.readouterr().err.startswith(f"error: checkpoint consolidate {folder}: not a readable checkpoint (")


def test_what_is_no_folder_of_shards(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m research.cli checkpoint consolidate .*last.ckpt --output FILE"):
        load_checkpoint(folder)
    with pytest.raises(UserError, match=r"^--ckpt_path .*last.ckpt: a checkpoint in shards, .* --output FILE$"):
        first_sound([folder, folder.with_name("previous.ckpt")], load_checkpoint)  # not damaged, but another kind
    with pytest.raises(UserError, match="a folder; name a file"):
        described(tmp_path)
    with pytest.raises(UserError, match="not a checkpoint in shards, which is a folder"):
        described(folder / "meta.pt")
