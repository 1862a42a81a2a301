"""Two processes write a folder together, at once and beside what they do meanwhile."""

import errno
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from research.checkpoints import folders
from research.checkpoints.folders import Folders
from research.checkpoints.reading import load_checkpoint
from research.checkpoints.shards import consolidated, digests
from research.checkpoints.writing import AsyncCheckpointIO, AtomicCheckpointIO
from research.terminal import run_command

WEIGHT, MOMENT = torch.arange(12.0).reshape(4, 3), torch.arange(12.0).reshape(4, 3) / 7


class Strategy(Folders):
    """What a process of a distributed run has of Lightning's."""

    sharded, world_size = True, 2

    def __init__(self, rank: int, io: AtomicCheckpointIO) -> None:
        self.rank, self.checkpoint_io = rank, io

    @property
    def global_rank(self) -> int:
        return self.rank

    @property
    def is_global_zero(self) -> bool:
        return self.rank == 0

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj


def join(rank: int, place: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{place}/store", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )


def process(rank: int, place: Path, kind: type[AtomicCheckpointIO]) -> None:
    join(rank, place)
    mesh = init_device_mesh("cpu", (2,))
    weight, moment = (distribute_tensor(whole.clone(), mesh, [Shard(0)]) for whole in (WEIGHT, MOMENT))
    strategy = Strategy(rank, kind())
    io, path = strategy.checkpoint_io, place / "last.ckpt"

    def save(step: int) -> None:
        state = {"state": {"w": {"exp_avg": moment}}, "param_groups": [{"params": ["w"]}]}
        strategy.save_checkpoint(
            {"state_dict": {"w": weight}, "optimizer_states": [state], "global_step": step, "hybrid": {}}, path
        )

    save(1)
    with torch.no_grad():  # the next step does not wait for what a thread writes
        weight.mul_(-1)
        moment.zero_()
        assert torch.equal(weight.full_tensor(), -WEIGHT)  # a call of the training's among those of the threads
    io.wait()
    assert io.error is None
    save(2)
    io.wait()

    def full(*given: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folders.digests = full if rank == 1 else digests  # the disk of one of the two
    save(3)
    io.wait()
    assert "cannot be written (No space left on device" in str(io.error)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", [AtomicCheckpointIO, AsyncCheckpointIO])
def test_two_processes_write_together(kind: type[AtomicCheckpointIO], tmp_path: Path) -> None:
    mp.spawn(process, (tmp_path, kind), nprocs=2)  # type: ignore[no-untyped-call]
    assert sorted(path.name for path in tmp_path.glob("*.ckpt*")) == ["last.ckpt", "previous.ckpt"]
    assert not list(tmp_path.glob(".*.new"))
    for name, sign, step in (("previous", 1, 1), ("last", -1, 2)):
        whole = consolidated(tmp_path / f"{name}.ckpt", "--ckpt")
        assert whole["global_step"] == step
        torch.testing.assert_close(whole["state_dict"]["w"], sign * WEIGHT, rtol=0, atol=0)
        moment = MOMENT if step == 1 else torch.zeros(4, 3)
        torch.testing.assert_close(whole["optimizer_states"][0]["state"]["w"]["exp_avg"], moment, rtol=0, atol=0)
    command = ["checkpoint", "consolidate", str(tmp_path / "last.ckpt"), "--output", str(tmp_path / "one.ckpt")]
    assert run_command(command) == 0
    assert load_checkpoint(tmp_path / "one.ckpt")["global_step"] == 2


def dies(*given: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_while_it_writes(rank: int, place: Path, kind: type[AtomicCheckpointIO], dying: int) -> None:
    """The other one hears of it long before the time that processes wait for each other is over."""
    join(rank, place)
    weight = distribute_tensor(WEIGHT.clone(), init_device_mesh("cpu", (2,)), [Shard(0)])
    strategy = Strategy(rank, kind())

    def save(step: int) -> None:
        checkpoint = {"state_dict": {"w": weight}, "optimizer_states": [], "global_step": step, "hybrid": {}}
        strategy.save_checkpoint(checkpoint, place / "last.ckpt")
        strategy.checkpoint_io.wait()

    save(1)
    if rank == dying:
        folders.digests = dies  # its shard is written by then
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"(?i)gloo|connection"):
        save(2)
    assert time.monotonic() - began < 30
    os._exit(0)


@pytest.mark.parametrize("dying", [pytest.param(0, marks=pytest.mark.slow), 1])
@pytest.mark.parametrize("kind", [pytest.param(AtomicCheckpointIO, marks=pytest.mark.slow), AsyncCheckpointIO])
def test_a_process_is_killed_while_it_writes(kind: type[AtomicCheckpointIO], dying: int, tmp_path: Path) -> None:
    """What it leaves unfinished has not the checkpoint's name: the folder before it is there, and whole."""
    started = mp.start_processes(  # type: ignore[no-untyped-call]
        killed_while_it_writes, (tmp_path, kind, dying), nprocs=2, join=False, start_method="spawn"
    )
    for each in started.processes:
        each.join(timeout=120)
    assert [each.exitcode for each in started.processes] == [-signal.SIGKILL if i == dying else 0 for i in range(2)]
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt"]
    assert (tmp_path / ".last.ckpt.new").is_dir()
    whole = consolidated(tmp_path / "last.ckpt", "--ckpt")
    assert whole["global_step"] == 1
    torch.testing.assert_close(whole["state_dict"]["w"], WEIGHT, rtol=0, atol=0)
