"""An arm's config as ``fit`` reads it, checked as ``fit`` checks it before a weight is loaded."""

import inspect
import json
import os
import pydoc
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning import Trainer

from research.ablation.design.grid import FIRST, Arm
from research.ablation.design.without import parts, words
from research.data.cache import key
from research.data.mixture import MixtureDataModule
from research.data.sources import Source
from research.errors import UserError
from research.models.backbone import files_digest, folder_digest, resolve
from research.module import HybridModule
from research.training_cli import TrainingCLI

FREE = ("run", "ckpt_path", "weights_only", "seed_everything")  # alter no figure, or are in the key for themselves
FREE_OF = {"trainer": ("logger", "enable_progress_bar", "default_root_dir"), "data": ("cache",)}


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
            self.digests = digests(self.decisive())
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
        return key(self.decisive(), self.digests, *more)[:12]

    def decisive(self) -> dict[str, Any]:
        """The part of the config that decides a run's figures."""
        config = {name: value for name, value in self.dump.items() if name not in FREE}
        for part, free in FREE_OF.items():
            config[part] = {name: value for name, value in config[part].items() if name not in free}
        return config


def digests(config: Any) -> dict[str, str]:
    """Of all that a config names and a run reads, by its description: sources; files, folders and packages."""
    made = [part for part in parts(config) if isinstance(part, dict) and is_source(part)]
    sources = {json.dumps(part, sort_keys=True) for part in made if not any(FIRST in word for word in words(part))}
    found = {described: fingerprint(described) for described in sources}
    for word in words(without_sources(config)):
        if (digest := content(word)) is not None:
            found[word] = digest
    return found


@cache
def fingerprint(described: str) -> str:
    """Of a source, read once for all arms; :func:`forget` before the data may have changed."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--source", type=Source)
    source: Source = parser.instantiate(parser.parse_object({"source": json.loads(described)})).source
    return source.fingerprint()


@cache
def content(word: str) -> str | None:
    """A digest of the file, folder or ``package:NAME`` that a word of a config is, None if it is none.

    The name of a folder has a slash: other words are names of streams and the like, also where such a folder lies.
    """
    if word.startswith("package:"):
        return folder_digest(Path(resolve(word)))
    path = Path(os.path.expanduser(word.removeprefix("fairseq:")))  # leaves alone what begins with ~ and is no home
    inside = path.rglob("*") if "/" in word and path.name not in ("", "..") and os.path.isdir(path) else ()
    files = [file for file in (path, *inside) if os.path.isfile(file) and os.path.getsize(file)]
    return files_digest(files) if files else None


def forget() -> None:
    """What has been read may have changed."""
    fingerprint.cache_clear()
    content.cache_clear()


def without_sources(config: Any) -> Any:
    """The same config with nothing in place of each source: its fingerprint says more than its words."""
    if isinstance(config, dict):
        return {} if is_source(config) else {name: without_sources(value) for name, value in config.items()}
    return [without_sources(value) for value in config] if isinstance(config, list) else config


def is_source(described: dict[str, Any]) -> bool:
    """Whether an entry of a config describes a :class:`research.data.sources.Source`."""
    located: Any = pydoc.locate(str(described.get("class_path")))
    return inspect.isclass(located) and issubclass(located, Source)
