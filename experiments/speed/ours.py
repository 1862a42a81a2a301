"""Our side: ``step.yaml`` through the command line's own classes, with a clock among the callbacks."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from clock import Clock
from lightning import Callback, LightningModule, Trainer

from research.terminal import quieten
from research.training_cli import TrainingCLI

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class StepClock(Callback):
    """Tells the clock of each step, after all other callbacks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        self.clock.step(sum(b.real_tokens for b in batch.values()), float(module.figures["loss"]))


class TimedCLI(TrainingCLI):
    clock: Any  # one with the method ``step`` of Clock

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(StepClock(self.clock))  # type: ignore[attr-defined]
        return trainer


def fit(clock: Any, steps: int, precision: str, work: Path, **more: Any) -> None:
    """Run ``step.yaml`` for so many steps; ``more`` are further settings, with ``__`` for the dots of their keys."""
    TimedCLI.clock = clock
    settings = {
        "config": Path(__file__).with_name("step.yaml"),
        "trainer.max_steps": steps,
        "trainer.precision": precision,
        "data.cache": work / "tokens",
        "run.folder": work / "runs",
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    TimedCLI(["fit", *(str(part) for key, value in settings.items() for part in (f"--{key}", value))])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the run and its tables")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    quieten()
    clock = Clock()
    fit(clock, args.warm_up + args.steps, PRECISIONS[args.precision], args.work)
    clock.write(args.out, args.warm_up)


if __name__ == "__main__":
    main()
