"""Strategies that divide a model among processes, such as FSDP and DeepSpeed, and what cannot be trained so."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from research.errors import UserError

if TYPE_CHECKING:
    from research.module import HybridModule

DIVIDING = ("fsdp", "deepspeed", "modelparallel")


class Whole:
    """Base of what takes whole parameters, gradients or moments, or differentiates or runs the student by itself.

    Processes that hold parts of a model have to run each of its forwards together.
    """


def is_sharded(strategy: object) -> bool:
    """Whether a strategy, by its name or as an object, divides parameters, gradients or optimiser among processes."""
    return any(name in str(strategy).lower() for name in DIVIDING)


def check_sharded(strategy: object, module: "HybridModule", callbacks: Iterable[object]) -> None:
    """Refuse what needs the model whole, and strategies of Lightning's that have one of ours in their place.

    Raises:
        UserError: naming the key and the class.
    """
    from research.models.teachers import TeacherEnsemble

    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    if name in ("fsdp", "fsdp_cpu_offload", "FSDPStrategy", "ModelParallelStrategy"):
        raise UserError(f"trainer.strategy: {name} is not for this program; use configs/strategy/fsdp.yaml")

    teacher, optimiser = module.teacher, module.optimisation.optimiser
    teachers = teacher.members.values() if isinstance(teacher, TeacherEnsemble) else [teacher]
    made = getattr(optimiser, "args", ())  # those of a partial, its class among them
    views = [view for of_stream in module.views().values() for view in of_stream]
    own = [module.weighting, module.privacy, *module.objectives.values()]
    parts: list[Any] = [*own, *views, *teachers, *made, *callbacks]
    kinds = [part if isinstance(part, type) else type(part) for part in parts]
    names = [kind.__name__ for kind in kinds if issubclass(kind, Whole)]
    names += ["Mixout"] * bool(module.student.mixout) + ["chunk"] * (module.student.chunk is not None)
    if names:
        raise UserError(
            f"trainer.strategy: {names[0]} needs the whole model on each process, and FSDP and DeepSpeed divide it; "
            f"use ddp, or leave out {names[0]}"
        )


def gradient_norm(model: nn.Module | None) -> Tensor:
    """The norm (a scalar) of all gradients, of which each process may hold a part.

    Args:
        model: what a strategy trains, after the backward pass.
    """
    assert model is not None
    norm: Any = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of DTensors it is one
