"""A model to ask, from a checkpoint alone."""

from pathlib import Path
from typing import Literal

import torch

from research.checkpoints import LAST
from research.data.records import TOKENS
from research.errors import UserError
from research.inference.decisions.file import read
from research.inference.early_exit import exits
from research.inference.model import Model
from research.models.checkpoint import Trained
from research.models.compression.integers import Integers, in_integers
from research.models.reordered import reorder
from research.objectives.base import Objective
from research.precision import native_bfloat16


def checkpoint_of(path: str | Path) -> Path:
    """The checkpoint that a path names, or the last one of the run whose folder it is.

    Raises:
        UserError: if there is none.
    """
    given = Path(path).expanduser()
    found = given / "checkpoints" / LAST if given.is_dir() and (given / "checkpoints").is_dir() else given
    if not found.exists():
        raise UserError(f"--ckpt {path}: no such checkpoint, nor a run's folder with one")
    return found


def load(
    path: str | Path,
    device: str = "cpu",
    precision: Literal["32", "bf16", "int8"] = "32",
    compile: bool = False,
    tokens: int = TOKENS,
    decisions: bool = True,
    exit_below: float | None = None,
    reordered: bool = False,
) -> Model:
    """The student of a run, in evaluation mode, with all that it needs to answer.

    Args:
        path: a checkpoint, or a folder of a run or of ``compress``, of which the last one is taken.
        device: such as ``cpu`` or ``cuda:0``.
        precision: of weights and activations; answers are float32. ``int8``, on the CPU, by
            :class:`research.models.compression.Integers`.
        compile: by ``torch.compile``, for shapes of any size; the first texts then take a minute.
        tokens: of a batch, padding included; on a GPU it is halved when memory does not suffice.
        decisions: answer by what ``calibrate`` has left beside the checkpoint, if it has.
        exit_below: let a text leave at the first layer whose classifier (:class:`research.objectives.EarlyExits`) has
            an entropy below this, in nats; decisions, which are made for the last layer, are then passed over.
        reordered: let the model only answer, faster where few texts are asked at once: on the CPU its linear maps are
            :class:`research.models.reordered.Reordered`, which have no gradients.

    Raises:
        UserError: if it cannot be read, its decisions do not fit it, or the device or precision is not there.
    """
    if precision == "bf16" and device == "cpu" and not native_bfloat16(device):
        raise UserError("precision is bf16, which this machine only emulates, tens of times slower; use 32")
    if precision == "int8" and (device != "cpu" or compile):
        raise UserError("precision is int8, which is for device cpu and without compile")
    if tokens < 1:
        raise UserError(f"tokens is {tokens}; it must be at least 1")
    checkpoint = checkpoint_of(path)
    trained = Trained(str(checkpoint), "--ckpt")
    trained.restore()
    student, streams = trained.student, trained.streams
    if exit_below is not None and not any(exits(student, name) for name in streams):
        raise UserError("exit_below is set, and no task of the run has heads on lower layers; train them by EarlyExits")
    deciding = dict[str, Objective]()
    for name in trained.config["model"]["objectives"]:
        objective = trained.objective(name)
        if type(objective).class_logits is not Objective.class_logits:
            for view in objective.views():
                view.connect(student)
            objective.build(student, streams)
            deciding[objective.stream] = objective
    if student.lora is not None:
        from research.models.lora import merge_lora

        merge_lora(student.model)  # type: ignore[arg-type]
    try:
        for module in (student, *deciding.values()):
            module.eval().requires_grad_(False).to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device is {device}: {str(error).splitlines()[0]}") from None
    if precision == "bf16":
        student.model.to(torch.bfloat16)  # type: ignore[union-attr]  # heads read pooled states, which are float32
    if precision == "int8" and not in_integers(student.model):  # type: ignore[arg-type]
        Integers(8).apply(student.model, student.family)
    if reordered and device == "cpu" and not compile and torch.backends.mkldnn.is_available():
        reorder(student.model)
    if compile:
        student.model.base_model.compile(dynamic=True)  # type: ignore[union-attr]
    decided = read(checkpoint, streams, student.width) if decisions and exit_below is None else {}
    return Model(student, streams, deciding, tokens, decided, exit_below)
