"""What DP-SGD cannot make private is refused, before a weight is loaded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from research.data.sampling import Joint, Sampling
from research.data.streaming import StreamedCorpusDataModule
from research.errors import UserError
from research.objectives.base import Objective
from research.objectives.classification import Classification
from research.weighting import Fixed, Scheduled

if TYPE_CHECKING:
    from lightning import Trainer

    from research.data.stream_module import StreamDataModule
    from research.module import HybridModule


def check_private(module: "HybridModule", streams: "Mapping[str, StreamDataModule]", mixture: Sampling) -> None:
    """Refuse streams without Poisson samples, losses that are no sum over examples, and weights that follow losses.

    Raises:
        UserError: naming the key.
    """
    if module.privacy is None:
        return
    private = module.privacy.streams
    for name in private:
        if name not in streams:
            raise UserError(f"model.privacy.streams: no stream '{name}'; data.streams has {', '.join(streams)}")
        check_stream(name, streams[name])
    if type(mixture) is not Joint:
        told = f"{type(mixture).__name__} does not give a batch of each private stream in each step"
        raise UserError(f"data.mixture: {told}; use Joint, or leave out model.privacy")
    if type(module.weighting) not in (Fixed, Scheduled) or getattr(module.weighting, "plateaus", {}):
        told = f"{type(module.weighting).__name__} goes by losses, which would tell of private examples"
        raise UserError(f"model.weighting: {told}; use Fixed, or Scheduled without a Plateau")
    objectives: Any = module.objectives
    for name, objective in objectives.items():
        check_objective(f"model.objectives.{name}", objective, private)


def check_stream(name: str, stream: "StreamDataModule") -> None:
    """Refuse a private stream whose batches are not of single examples, each drawn by a chance of its own."""
    key = f"data.streams.{name}"
    if isinstance(stream, StreamedCorpusDataModule):
        raise UserError(f"{key}: a private stream is sampled by chance, and streamed text is not; use CorpusDataModule")
    for setting in ("curriculum", "episodes", "pack"):
        if getattr(stream, setting, None) is not None:
            raise UserError(f"{key}.init_args.{setting}: a private stream is sampled by chance, an example a row")


def check_objective(key: str, objective: Objective, private: tuple[str, ...]) -> None:
    """Refuse an objective that learns of private examples otherwise than by a sum of what each of them gives."""
    if probed := [task for task in objective.probes() if task in private]:
        told = f"its teacher may learn the classes of the private stream '{probed[0]}' without noise"
        raise UserError(f"{key}: {told}; give it another task, or tokens")
    if objective.stream not in private:
        return
    kind = type(objective).__name__
    if not vars(type(objective)).get("separable", False):
        told = f"{kind} is no sum over single examples, so none can be clipped"
        raise UserError(f"{key}: {told}; let it read a stream that is not in model.privacy.streams")
    if isinstance(objective, Classification):
        if objective.named_weights:
            raise UserError(f"{key}: class_weights weigh examples against each other; DP-SGD clips each by itself")
        if objective.head_start is not None:
            raise UserError(f"{key}: start learns from the private stream '{objective.stream}' without noise")


def check_trainer(module: "HybridModule", trainer: "Trainer") -> None:
    """Refuse callbacks that act on losses or texts, several processes, and weights or gradients in half precision.

    Raises:
        UserError: naming the key.
    """
    from research.callbacks.group_projection import GroupProjection
    from research.callbacks.loss_guard import LossGuard
    from research.callbacks.meta_learning import MetaLearning
    from research.callbacks.training_dynamics import TrainingDynamics

    if module.privacy is None:
        return
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, LossGuard | MetaLearning | TrainingDynamics):
            name = type(callback).__name__
            raise UserError(f"trainer.callbacks: {name} goes by losses, which tell of private examples; leave it out")
        if isinstance(callback, GroupProjection):
            told = "GroupProjection changes a head by its texts without noise, whether they are private or not"
            raise UserError(f"trainer.callbacks: {told}; leave it out")
    if trainer.world_size > 1:
        raise UserError(f"trainer.devices: DP-SGD runs in one process, not in {trainer.world_size}")
    if trainer.precision not in ("32-true", "bf16-mixed", "64-true"):
        told = f"{trainer.precision} rounds the gradients of single examples too coarsely"
        raise UserError(f"trainer.precision: {told}; use 32 or bf16-mixed")
