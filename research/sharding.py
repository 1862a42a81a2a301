"""Strategies that divide a model among processes, such as FSDP and DeepSpeed, and what cannot be trained so."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from research.errors import UserError

if TYPE_CHECKING:
    from research.module import HybridModule

DIVIDING = ("fsdp", "deepspeed", "modelparallel")


class Whole:
    """Base of what reads or moves parameters, gradients or moments as whole tensors, which each process must have."""


def is_sharded(strategy: object) -> bool:
    """Whether a strategy, by its name or as an object, divides parameters, gradients or optimiser among processes."""
    return any(name in str(strategy).lower() for name in DIVIDING)


def check_sharded(module: "HybridModule", callbacks: Iterable[object]) -> None:
    """Refuse what needs the model whole.

    Raises:
        UserError: naming the key and the class.
    """
    from research.models.teachers import TeacherEnsemble

    teacher, optimiser = module.teacher, module.optimisation.optimiser
    teachers = teacher.members.values() if isinstance(teacher, TeacherEnsemble) else [teacher]
    made = getattr(optimiser, "args", ())  # those of a partial, its class among them
    parts: list[Any] = [module.weighting, *teachers, *made, *callbacks]
    kinds = [part if isinstance(part, type) else type(part) for part in parts]
    names = [kind.__name__ for kind in kinds if issubclass(kind, Whole)] + ["Mixout"] * bool(module.student.mixout)
    if names:
        raise UserError(
            f"trainer.strategy: {names[0]} needs the whole model on each process, and FSDP and DeepSpeed divide it; "
            f"use ddp, or leave out {names[0]}"
        )
