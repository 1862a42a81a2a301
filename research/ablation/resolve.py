"""An arm's config as ``fit`` reads it, checked as ``fit`` checks it before a weight is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning import Trainer

from research.ablation.grid import Arm
from research.ablation.without import words
from research.config_errors import build
from research.data.cache import key
from research.data.mixture import MixtureDataModule
from research.data.sources import Source
from research.errors import UserError
from research.models.backbone import files_digest
from research.module import HybridModule
from research.training_cli import TrainingCLI

FREE = ("run", "ckpt_path", "weights_only", "seed_everything")  # alter no figure, or are in the key for themselves
FREE_OF_TRAINER = ("logger", "enable_progress_bar", "default_root_dir")


class Resolved(TrainingCLI):
    """Everything that ``fit`` would make of an arm, except a trainer.

    Raises:
        UserError: what ``fit`` would refuse, with the arm's name.
    """

    model: HybridModule
    datamodule: MixtureDataModule

    def __init__(self, arm: Arm) -> None:
        self.sources: list[Source] = []
        try:
            super().__init__(["fit", *arm.options])
            self.digests = sorted(self._digests())
        except UserError as error:
            raise UserError(f"arm {arm}: {error}") from error

    def instantiate_classes(self) -> None:
        self.parser.add_instantiator(self._source, Source)
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        self.datamodule.connect(self.model)
        return None  # type: ignore[return-value]  # nothing is trained

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""

    def tested(self, *problems: str) -> list[str]:
        """The streams, of these problems or of any, that have a test split."""
        streams = {name: s for name, s in self.datamodule.streams.items() if isinstance(s.test, Source) or s.test > 0}
        return [name for name, s in streams.items() if not problems or s.info.problem in problems]

    def can_give(self, metric: str) -> bool:
        """Whether an objective is called like the metric's second word, or callbacks may measure something."""
        return metric.split("/")[1] in self.model.objectives or bool(self.dump["trainer"]["callbacks"])

    def key(self, *more: object) -> str:
        """What decides a run's figures, and ``more``, as a short digest."""
        config = {name: value for name, value in self.dump.items() if name not in FREE}
        config["trainer"] = {k: v for k, v in config["trainer"].items() if k not in FREE_OF_TRAINER}
        return key(config, self.digests, *more)[:12]

    def _source(self, class_type: type[Source], *args: Any, **kwargs: Any) -> Source:
        source: Source = build(class_type, *args, **kwargs)
        self.sources.append(source)
        return source

    def _digests(self) -> Iterator[str]:
        """Of the data, and of the files that the config names besides, such as a teacher's checkpoint."""
        yield from (source.fingerprint() for source in self.sources)
        for path in {Path(word).expanduser() for word in words(self.dump["model"]) if "/" in word}:
            files = [file for file in (path, *path.rglob("*")) if file.is_file() and file.stat().st_size]
            if files:
                yield files_digest(files)
