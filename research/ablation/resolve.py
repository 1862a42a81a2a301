"""An arm's config as ``fit`` reads it, checked as ``fit`` checks it before a weight is loaded."""

import inspect
import pydoc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning import Trainer

from research.ablation.grid import FIRST, Arm
from research.ablation.without import parts, words
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

    What an arm takes from a first run, which is not there yet, is not checked; nor is what comes after it.

    Raises:
        UserError: what ``fit`` would refuse, preceded by what the arm is ``called``.
    """

    model: HybridModule
    datamodule: MixtureDataModule
    left_out: list[str]

    def __init__(self, arm: Arm, called: str) -> None:
        try:
            try:
                super().__init__(["fit", *arm.options])
            except UserError as error:
                if not (arm.first and FIRST in str(error) and hasattr(self, "dump")):
                    raise
            self.digests = sorted({*digests_of_data(self.dump), *digests_of_files(self.dump["model"])})
        except UserError as error:
            raise UserError(f"{called}: {error}") from error
        for name in ("model", "datamodule", "config_init"):
            vars(self).pop(name, None)  # a grid has many arms, and each of them a tokenizer

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        self.datamodule.connect(self.model)
        return None  # type: ignore[return-value]  # nothing is trained

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""

    def tested(self, *problems: str) -> list[str]:
        """The streams, of these problems or of any, that have a test split."""
        streams = {name: stream["init_args"] for name, stream in self.dump["data"]["streams"].items()}
        tested = {name: given for name, given in streams.items() if given.get("test")}
        return [name for name, given in tested.items() if not problems or given.get("problem") in problems]

    def can_give(self, metric: str) -> bool:
        """Whether an objective is called like the metric's second word, or callbacks may measure something."""
        return metric.split("/")[1] in self.dump["model"]["objectives"] or bool(self.dump["trainer"]["callbacks"])

    def key(self, *more: object) -> str:
        """What decides a run's figures, and ``more``, as a short digest."""
        config = {name: value for name, value in self.dump.items() if name not in FREE}
        config["trainer"] = {k: v for k, v in config["trainer"].items() if k not in FREE_OF_TRAINER}
        return key(config, self.digests, *more)[:12]


def digests_of_data(config: Any) -> Iterator[str]:
    """Of the sources in a config, whatever part of it asks for them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--source", type=Source)
    for part in parts(config):
        if isinstance(part, dict) and is_source(part) and not any(FIRST in word for word in words(part)):
            source: Source = parser.instantiate(parser.parse_object({"source": part})).source
            yield source.fingerprint()


def digests_of_files(config: Any) -> Iterator[str]:
    """Of the files and folders that a config names, such as a teacher's checkpoint."""
    for path in {Path(word).expanduser() for word in words(config) if "/" in word}:
        files = [file for file in (path, *path.rglob("*")) if file.is_file() and file.stat().st_size]
        if files:
            yield files_digest(files)


def is_source(described: dict[str, Any]) -> bool:
    located: Any = pydoc.locate(str(described.get("class_path")))
    return inspect.isclass(located) and issubclass(located, Source)
