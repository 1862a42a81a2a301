"""Reads a training config as ``fit`` does, and stops before a trainer or a weight is made."""

import math
import os
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from research.data.inspect.doubts import doubts
from research.data.inspect.figures import figures_of
from research.data.inspect.forecast import forecast
from research.data.inspect.plots import draw_lengths, draw_mixture
from research.data.inspect.report import as_markdown, as_text, sections
from research.data.task import TaskDataModule
from research.errors import UserError
from research.training_cli import TrainingCLI


class Inspection(TrainingCLI):
    """Writes ``inspect.md``, ``lengths.png`` and ``mixture.png``, and prints what the first one says."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(["fit", *arguments])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--out", type=str | None, default=None, help="folder of the report")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        self.datamodule.connect(self.model, self.config.fit.seed_everything)
        return None  # type: ignore[return-value]  # nothing is trained

    def _run_subcommand(self, subcommand: str) -> None:
        data = self.datamodule
        data.prepare_data()
        data.setup()
        streams = {name: module.stream("train") for name, module in data.streams.items()}
        counted = {name: module for name, module in data.streams.items() if "train" in module.rows}
        figures = {name: figures_of(module, streams[name]) for name, module in counted.items()}
        batches = {name: len(stream) for name, stream in streams.items()}
        steps = self._steps(batches)
        data.mixture.begin(batches, lambda: steps, ahead=1)
        gives = forecast(data, steps)
        doubtful = [
            line
            for name, module in counted.items()
            for line in doubts(
                name,
                figures[name],
                batches=int(gives[name].sum()),
                few_shot=isinstance(module, TaskDataModule) and module.shots is not None,
            )
        ]
        report = sections(data.streams, streams, figures, gives, doubtful)
        folder = Path(self.config.fit.out or Path(self.run.folder) / f"{self.run.name}-inspect")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {folder}: cannot be written ({error.strerror})") from None
        draw_lengths(figures, folder / ".lengths.png")
        draw_mixture(gives, folder / ".mixture.png")
        (folder / ".inspect.md").write_text(as_markdown(f"{self.run.name}", report), encoding="utf-8")
        for name in ("lengths.png", "mixture.png", "inspect.md"):
            os.replace(folder / f".{name}", folder / name)
        print(as_text(report))
        print(f"written to {folder}/: inspect.md, lengths.png, mixture.png")

    def _steps(self, batches: dict[str, int]) -> int:
        """Batches that the run reads of its mixture on one process.

        Raises:
            UserError: if neither ``max_steps`` nor ``max_epochs`` bounds them.
        """
        trainer = self.config.fit.trainer
        steps = trainer.max_steps * trainer.accumulate_grad_batches if trainer.max_steps >= 0 else math.inf
        epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs >= 0 else math.inf
        steps = min(steps, epochs * self.datamodule.mixture.epoch_steps(batches))
        if steps == math.inf:
            raise UserError("trainer: set max_steps or max_epochs; weights and learning rate follow the run's length")
        return int(steps)
