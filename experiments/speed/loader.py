"""Does the quick start's model wait for its loader? In turn in one run; writes results_loader.json and .md.

python experiments/speed/loader.py --repeats 5
"""

import argparse
import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from common import ROOT, commit, machine, made_by, spread, write
from lightning import Callback, LightningModule, Trainer

from research.terminal import quieten
from research.training_cli import TrainingCLI

WARM_UP, STEPS, BATCHES = 1, 5, 100


class InTurn(Callback):
    """After so many steps of training, so many batches of the same loader without it."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.batches: list[float] = []
        self.count = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        float(outputs["loss"])
        self.count += 1
        if self.count == WARM_UP:
            self.start = time.perf_counter()
        elif self.count == WARM_UP + STEPS:
            self.steps.append(STEPS / (time.perf_counter() - self.start))
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            batches = iter(data.train_dataloader())
            next(batches)
            start = time.perf_counter()
            read = sum(1 for _ in islice(batches, BATCHES))
            self.batches.append(read / (time.perf_counter() - start))
            self.count = 0
            print(f"{self.steps[-1]:.3g} steps/s, {self.batches[-1]:.4g} batches/s", flush=True)


class WatchedCLI(TrainingCLI):
    watch: InTurn

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(self.watch)  # type: ignore[attr-defined]
        return trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the model's arithmetic")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    quieten()
    WatchedCLI.watch = watch = InTurn()
    with tempfile.TemporaryDirectory() as work:
        settings = {
            "config": ROOT / "configs" / "quickstart.yaml",
            "trainer.max_steps": args.repeats * (WARM_UP + STEPS),
            "trainer.limit_val_batches": 0,
            "trainer.callbacks": "null",
            "trainer.enable_progress_bar": "false",
            "data.mixture": "{class_path: research.data.Joint, init_args: {epoch: 100000}}",
            "run.folder": Path(work) / "runs",
            "run.wandb": "disabled",
        }
        WatchedCLI(["fit", *(str(part) for key, value in settings.items() for part in (f"--{key}", value))])
    results: dict[str, Any] = {
        "command": f"python experiments/speed/loader.py --repeats {args.repeats} --threads {args.threads}",
        "commit": commit(),
        "machine": machine(),
        "config": "configs/quickstart.yaml",
        "steps per second": watch.steps,
        "batches per second": watch.batches,
    }
    times = [batches / steps for batches, steps in zip(watch.batches, watch.steps, strict=True)]
    lines = [
        *made_by(results),
        "| training, steps a second | its loader alone, batches a second | times what the model consumes |",
        "|---|---|---|",
        f"| {spread(watch.steps)} | {spread(watch.batches)} | {spread(times)} |",
        "",
        f"`configs/quickstart.yaml`: both streams' batches of a step, in the training process. {STEPS} steps, then "
        f"{BATCHES} batches; median (least to most) of {args.repeats} repeats in turn.",
    ]
    write("results_loader", results, lines)


if __name__ == "__main__":
    main()
