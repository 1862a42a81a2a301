"""The loss of each training example: what a curriculum by loss reads."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from research.data.text_stream import TextStream
from research.errors import UserError
from research.step import Step

if TYPE_CHECKING:
    from lightning import LightningModule


class ExampleLosses(Callback):
    """After ``test``, writes ``losses.jsonl`` into the run's folder: a line for each training example of a stream.

    Each line has ``where`` the example stands and its ``loss`` without dropout, in a batch of its own, as it would be
    trained on: an adversarial objective moves the embeddings for it. It is what the
    ``losses`` of a :class:`research.data.curriculum.Curriculum` names.

    Args:
        objective: the name of the objective whose loss it is; its stream is the one that is read.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective

    @rank_zero_only
    @torch.inference_mode(False)
    @torch.enable_grad()  # which an adversarial loss goes by
    def on_test_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        from tqdm import tqdm  # type: ignore[import-untyped]

        module: Any = pl_module
        if self.objective not in module.objectives:
            raise UserError(
                f"trainer.callbacks: ExampleLosses: no objective '{self.objective}'; there are "
                f"{', '.join(module.objectives)}"
            )
        objective = module.objectives[self.objective]
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if objective.stream not in data.streams:
            raise UserError(f"trainer.callbacks: ExampleLosses: {self.objective} reads no stream")
        source = data.streams[objective.stream]
        examples = source.stream("train")
        if isinstance(examples, TextStream):
            raise UserError(f"trainer.callbacks: ExampleLosses: {objective.stream} is streamed: no list of texts")
        views, reads = {objective.stream: objective.views()}, {objective.stream: objective.reads}
        examples.views = list(dict.fromkeys([*objective.views(), *objective.taught_views()]))
        examples.batch_size, examples.packing = 1, None
        folder = Path(trainer.default_root_dir)
        work = folder / "losses.new"
        hidden = not trainer.progress_bar_callback
        with work.open("w", encoding="utf-8") as file:
            for position in tqdm(range(len(examples)), "losses", unit="examples", disable=hidden or None):
                batch = examples[position]
                alone = {objective.stream: batch.to(module.device)}
                step = Step(alone, module.student, module.teacher, views, reads)
                where = source.where("train", int(batch.index[0]))
                file.write(
                    json.dumps({"where": where, "loss": float(objective(step).detach())}, ensure_ascii=False) + "\n"
                )
        os.replace(work, folder / "losses.jsonl")
        print(f"{len(examples)} losses in {folder / 'losses.jsonl'}")
