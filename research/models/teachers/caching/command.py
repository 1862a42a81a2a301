"""``teacher cache``: writes what the teacher of a config answers, so that training needs no teacher forward."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from research.data.cache import key
from research.data.sampling.loss_driven import LossDriven
from research.data.shards import explained
from research.data.tokenised import tokenizer_fingerprint
from research.errors import UserError
from research.models import Student
from research.models.teachers.cached import CachedTeacher
from research.models.teachers.caching.manifest import Manifest
from research.models.teachers.caching.recorder import Recorder
from research.models.teachers.caching.writer import Writer
from research.training_cli import TrainingCLI

HELP_K = "likeliest tokens kept of each distribution over the vocabulary; without it all can be had"


def check_k(k: int | None, student: Student) -> None:
    """Refuse a ``--k`` that is none, or as many as there are."""
    size = len(student.tokenizer)
    if k is not None and not 0 < k < size:
        raise UserError(f"--k is {k}; it must be at least 1 and below the vocabulary's {size}")


class Caching(TrainingCLI):
    """A fit whose module is set up as for training, and whose batches are only shown to the teacher."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(["fit", *arguments])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--path", type=str | None, default=None, help="folder of the cache")
        parser.add_argument("--k", type=int | None, default=None, help=HELP_K)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        sys.argv[1:] = ["teacher", "cache", *self.arguments[1:]]  # what further processes are started with
        config, model = self.config.fit, self.model
        teacher, folder = self._teacher()
        if isinstance(self.datamodule.mixture, LossDriven):
            raise UserError("data.mixture: LossDriven goes by the losses of training, so its batches are not known yet")
        check_k(config.k, model.student)
        recorder = Recorder(teacher, config.k)
        object.__setattr__(model, "teacher", recorder)
        self.datamodule.connect(model, config.seed_everything)
        self.owner = {
            "teacher": teacher.fingerprint(),
            "tokenizer": tokenizer_fingerprint(teacher.tokenizer),
            "k": config.k,
        }
        deciding = {name: self.dump[name] for name in ("seed_everything", "model", "data", "trainer")}
        sources = {name: stream.fingerprint() for name, stream in self.datamodule.streams.items()}
        self.digest = key(self.owner, deciding, sources)
        self.manifest = Manifest(folder)
        trainer: dict[str, Any] = dict(self._get(self.config_init, "trainer", default={}))
        trainer |= {"strategy": "auto", "precision": "32-true", "plugins": None, "profiler": None, "logger": False}
        trainer |= {"enable_checkpointing": False, "enable_progress_bar": False}
        return Trainer(**{**trainer, "callbacks": [Writer(self.manifest, self.digest, recorder)]})

    def _teacher(self) -> tuple[Any, Path]:
        """The teacher that answers, and the folder of its answers."""
        teacher, folder = self.model.teacher, self.config.fit.path
        if isinstance(teacher, CachedTeacher):
            folder = folder or teacher.path
            teacher = teacher.teacher
        if teacher is None:
            raise UserError("model.teacher: there is none to write the answers of; give a LiveTeacher")
        if folder is None:
            raise UserError("--path: name the folder of the cache")
        return teacher, Path(folder).expanduser()

    def _run_subcommand(self, subcommand: str) -> None:
        manifest, folder = self.manifest, self.manifest.folder
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock") if self.trainer.is_global_zero else nullcontext():
            manifest.read()
            if self.digest not in manifest.runs:
                if self.trainer.is_global_zero:
                    manifest.claim(self.owner)
                    self.model.student.tokenizer.save_pretrained(folder / "tokenizer")
                super()._run_subcommand(subcommand)
        if self.trainer.is_global_zero:
            rows = ", ".join(f"{table['rows']:,} rows of {name}" for name, table in manifest.tables.items())
            print(f"{folder}: {rows}")


def main(arguments: list[str]) -> int:
    """Write the cache that the command line and its config files describe."""
    Caching(arguments)
    return 0
