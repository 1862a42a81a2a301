"""Fully sharded data parallel (Zhao et al. 2023, arXiv:2304.11277) by torch's ``fully_shard``, known as FSDP2."""

from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard, register_fsdp_forward_method

from research.checkpoints.folders import Folders
from research.models.recompute import keep

if TYPE_CHECKING:
    from lightning import Trainer

STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class FSDP(Folders, ModelParallelStrategy):
    """Divides each parameter, its gradient and its moments; a layer of the student is gathered while it runs.

    All else, embeddings and heads among it, is gathered for a step. Losses are those of DDP, under ``bf16-mixed`` too.

    Args:
        reshard_after_forward: divide a layer again as soon as it has run (ZeRO 3); false keeps it whole until its
            backward pass, which takes more memory and sends less (ZeRO 2).
        state_dict_type: checkpoints are ``full``, one file that every command reads; or ``sharded``, a folder where
            each process writes its own part, for models that no process can hold whole.
        cpu_offload: keep parameters, gradients and the optimiser's state in the main memory.
    """

    def __init__(
        self,
        reshard_after_forward: bool = True,
        state_dict_type: Literal["full", "sharded"] = "full",
        cpu_offload: bool = False,
    ) -> None:
        self.sharded = state_dict_type == "sharded"
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=self.sharded)
        self.reshard, self.cpu_offload = reshard_after_forward, cpu_offload

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: "Trainer") -> None:
        module: Any = self.model
        offload = CPUOffloadPolicy(pin_memory=self.root_device.type == "cuda") if self.cpu_offload else OffloadPolicy()
        mesh = self.device_mesh["data_parallel"]
        for layer in independent_layers(module.student):
            fully_shard(layer, mesh=mesh, reshard_after_forward=self.reshard, offload_policy=offload)
        fully_shard(module, mesh=mesh, offload_policy=offload)
        for step in STEPS:
            register_fsdp_forward_method(module, step)
        super().setup(trainer)


def independent_layers(student: Any) -> list[nn.Module]:
    """The layers of a student, of which none makes again in its backward pass what another one made.

    It could not, since a layer's weights are there only while it runs.
    """
    layers = [layer for owner, name in student.family.stacks(student.model) for layer in getattr(owner, name)]
    for layer in layers:
        layer.register_forward_hook(keep)
    return layers
