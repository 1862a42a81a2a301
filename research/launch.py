"""Processes that torchrun, SLURM or Kubernetes has started side by side, before Lightning joins them."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from research.errors import UserError

if TYPE_CHECKING:
    from lightning.fabric.plugins import ClusterEnvironment

TORCH = {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"}  # what torch itself goes by; torchrun adds LOCAL_RANK

stores: list[dist.Store] = []  # one for each thing told; the first process serves them for as long as it lives


def cluster() -> "ClusterEnvironment | None":
    """What started this process as one of several, or none: then Lightning itself starts the others."""
    from lightning.pytorch.plugins.environments import KubeflowEnvironment, SLURMEnvironment, TorchElasticEnvironment

    if os.environ.keys() >= TORCH:
        return TorchElasticEnvironment() if "LOCAL_RANK" in os.environ else KubeflowEnvironment()
    if SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)  # the job's script does it, after our own checkpoint
    return None


def take_size(trainer: dict[str, Any]) -> None:
    """Let torchrun say ``devices`` and ``num_nodes`` of a trainer whose config leaves them open.

    Under ``--nnodes 1:4`` it starts the run again with as many nodes as there are.
    """
    if (
        "GROUP_WORLD_SIZE" in os.environ
        and trainer.get("devices") in (None, "auto")
        and trainer.get("num_nodes") in (None, 1)
    ):
        trainer["devices"] = int(os.environ["LOCAL_WORLD_SIZE"])
        trainer["num_nodes"] = int(os.environ["GROUP_WORLD_SIZE"])


def check_launch(started: "ClusterEnvironment | None", devices: int, nodes: int) -> None:
    """Refuse a trainer of another size than what was started, whose processes would wait for each other.

    Raises:
        UserError: naming the keys.
    """
    if started is None:
        if nodes > 1 and "NODE_RANK" not in os.environ:
            raise UserError(f"trainer.num_nodes is {nodes}: start the run on all of them with torchrun or srun")
    elif devices * nodes != started.world_size():
        raise UserError(
            f"trainer.devices {devices} x trainer.num_nodes {nodes} is not the number of processes that were started, "
            f"{started.world_size()}"
        )


def agreed(choose: Callable[[], str]) -> str:
    """What the first of the processes chooses, on each of them; the others wait for it.

    Raises:
        UserError: on the others, if the first one ends before it has chosen.
    """
    started = cluster()
    if started is None or started.world_size() == 1:
        return choose()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = started.main_address, str(started.main_port)
    key = f"research/{len(stores)}"
    try:
        store, _, _ = next(dist.rendezvous("env://", started.global_rank(), started.world_size()))
        stores.append(store)
        if started.global_rank() == 0:
            store.set(key, choose())
        return store.get(key).decode()
    except dist.DistError as error:
        raise UserError(f"no word from the first process ({str(error).splitlines()[0]}); see what it said") from None
