"""Our side: ``step.yaml``, or another config, by the command line's own classes, with a clock among the callbacks."""

import os
from pathlib import Path
from typing import Any

import torch
from clock import Clock, arguments
from lightning import Callback, LightningModule, Trainer

from research.terminal import quieten
from research.training_cli import TrainingCLI

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class StepClock(Callback):
    """Tells the clock of each step, after all other callbacks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.clock.begin()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        self.clock.step(sum(b.real_tokens for b in batch.values()), float(module.figures["loss"]))


class TimedCLI(TrainingCLI):
    clock: Clock

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(StepClock(self.clock))  # type: ignore[attr-defined]
        return trainer


def cached(work: Path) -> dict[str, Any]:
    """The settings that put the cache of ``step.cache_teacher`` in the teacher's place."""
    return {
        "model.teacher": "research.models.CachedTeacher",
        "model.teacher.init_args.path": work / "teacher",
    }


def main() -> None:
    parser = arguments()
    parser.add_argument("--cached", action="store_true", help="the teacher's answers lie in the folder `teacher` there")
    args, given = parser.parse_known_args()  # what is not known here is the fit's
    if "--config" not in given:
        given = ["--config", str(Path(__file__).with_name("step.yaml")), *given]
    torch.set_num_threads(os.cpu_count() or 1)
    quieten()
    TimedCLI.clock = Clock(args.warm_up, args.steps, args.device)
    settings = {
        "trainer.max_steps": args.warm_up + args.steps * args.repeats,
        "trainer.precision": PRECISIONS[args.precision],
        "data.cache": args.work / "tokens",
        "run.folder": args.work / "runs",
    }
    if args.cached:
        settings |= cached(args.work)
    TimedCLI(["fit", *given, *(str(part) for key, value in settings.items() for part in (f"--{key}", value))])


if __name__ == "__main__":
    main()
