"""fit, validate, test and predict: the YAML becomes a trainer, a module and a mixture."""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from research.ablation.design.without import leave_out
from research.allocation import keep_freed_memory
from research.callbacks.checkpoint import ResumeCheckpoint
from research.callbacks.metrics_log import MetricsLog
from research.callbacks.mixture_log import MixtureLog
from research.callbacks.predictions import Predictions
from research.callbacks.progress import progress
from research.callbacks.summary import Summary
from research.callbacks.wandb_log import finish
from research.checkpoints.reading import first_sound, load_checkpoint, run_of
from research.checkpoints.shards import described
from research.checkpoints.writing import AsyncCheckpointIO, AtomicCheckpointIO
from research.config_errors import Refused, build, parsing, refusal
from research.credentials import check_credentials
from research.data.mixture import MixtureDataModule
from research.errors import UserError
from research.launch import check_launch, cluster, take_size
from research.module import HybridModule
from research.precision import check_precision
from research.privacy.checks import check_trainer
from research.run import CHOSEN, Run, loggers
from research.sharding import check_sharded, is_sharded
from research.trainer_values import check_values

log = logging.getLogger(__name__)

TRAINER_DEFAULTS = {
    "max_steps": 1000,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
    "use_distributed_sampler": False,  # streams share their positions among ranks themselves
    "enable_model_summary": False,
    "gradient_clip_val": 1.0,
    "deterministic": "warn",
}


class TrainingCLI(LightningCLI):
    """Parses, checks all that can be checked before a weight is loaded, then runs Lightning's trainer."""

    model: HybridModule
    datamodule: MixtureDataModule

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.created: Path | None = None  # the run's folder, if this process made it
        sys.argv = [sys.argv[0], *arguments]
        for name in ("lightning.pytorch", "lightning.fabric"):  # their own import has set them to INFO
            logging.getLogger(name).setLevel(logging.WARNING)
        keep_freed_memory()
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 6% of a step
        strict = {"exit_on_error": False, "allow_abbrev": False}
        try:
            super().__init__(
                HybridModule,
                MixtureDataModule,
                save_config_callback=None,
                trainer_defaults=TRAINER_DEFAULTS,
                seed_everything_default=0,
                parser_kwargs={**strict, **{name: {**strict} for name in LightningCLI.subcommands()}},
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        except BaseException:
            finish(failed=True)
            self._remove_stillborn()
            raise
        finally:
            finish(failed=False)
            if self.created is not None:
                os.environ.pop(CHOSEN, None)  # the next run of this process has a folder of its own

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(Run, "run")
        parser.add_argument(
            "--without", type=list[str], default=[], help="objectives to leave out, with what they alone ask for"
        )
        told = "no progress bars and no remarks: errors alone, and the files of the run"
        parser.add_argument("--quiet", action="store_true", help=told)
        parser.add_argument(
            "--json", action="store_true", help="print the figures as JSON, and nothing else but errors"
        )
        parser.link_arguments("seed_everything", "model.seed")
        for action in parser._actions:  # typing may give out a float | int made elsewhere: 1 batch would be 1.0, all
            for hint in (int | float, int | float | None):
                if getattr(action, "_typehint", None) == hint:
                    action._typehint = hint  # type: ignore[attr-defined]

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        with parsing(self.arguments, self._parser(self.arguments[0])):
            super().parse_arguments(parser, args)
        check_values(self.config[self.config.subcommand])

    def instantiate_classes(self) -> None:
        try:
            self.config_init = self.parser.instantiate(self.config, instantiators=[(build, object, True)])
        except Refused as refused:
            raise refusal(refused, self.config[self.subcommand].as_dict()) from refused
        self.model, self.datamodule = self.config_init[self.subcommand].model, self.config_init[self.subcommand].data
        self.trainer = self.instantiate_trainer()

    def _parse_ckpt_path(self) -> None:
        """Checkpoints do not change the config; :meth:`before_instantiate_classes` compares the two."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        self.left_out = leave_out(config, config.pop("without"))
        self.as_json, quiet = config.pop("json"), config.pop("quiet")
        self.quiet = quiet or self.as_json
        if self.quiet:
            logging.getLogger("research").setLevel(logging.WARNING)
            config.trainer.enable_progress_bar = False
        check_precision(config.trainer)
        if config.run.name is None:
            config.run.name = self._name_of_config()
        self.run = Run(**config.run.as_dict())
        parser = self._parser(self.subcommand)
        self.dump: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_unset=False))
        check_credentials(self.dump)
        if config.get("ckpt_path") == "auto":  # of a command that a scheduler gives again: go on, or begin
            config.ckpt_path = "last" if self.run.has_checkpoint() else None
        asked = config.get("ckpt_path")
        self.checkpoint: Path | None = None
        if asked is not None:
            sharded = is_sharded(config.trainer.get("strategy"))

            def read(path: Path) -> dict[str, Any]:
                return described(path) if sharded and path.is_dir() else load_checkpoint(path)

            paths = self.run.last_checkpoints() if asked == "last" else [Path(asked)]
            self.checkpoint, checkpoint = first_sound(paths, read)
            config.ckpt_path = str(self.checkpoint)
            if self.subcommand == "fit" and self.checkpoint.is_file() and "optimizer_states" not in checkpoint:
                raise UserError(f"--ckpt_path {self.checkpoint}: an average of checkpoints, where no run can go on")
            self._compare(run_of(checkpoint, f"--ckpt_path {self.checkpoint}")["config"])
        elif self.subcommand != "fit":
            raise UserError(f"{self.subcommand}: give --ckpt_path last, or the path of a checkpoint")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer: dict[str, Any] = dict(self._get(self.config_init, "trainer", default={}))
        for key in ("callbacks", "plugins"):
            given = trainer.get(key) or []
            trainer[key] = given if isinstance(given, list) else [given]
        fitting, started = self.subcommand == "fit", cluster()
        self.datamodule.connect(self.model, self.config[self.subcommand].seed_everything)
        if is_sharded(trainer.get("strategy")):
            check_sharded(trainer["strategy"], self.model, trainer["callbacks"])
        if fitting:
            validated = self.datamodule.validated() if trainer.get("limit_val_batches") != 0 else []
            measured = [name for name, o in self.model.objectives.items() if o.stream in validated]
            self.model.weighting.check_validation(measured)
        self.model.config = self.dump
        if self.checkpoint is not None and self.checkpoint.parent.name == "checkpoints":
            self.folder = self.checkpoint.parent.parent
        else:
            first = CHOSEN not in os.environ and getattr(rank_zero_only, "rank", 0) == 0
            self.folder = self.run.new_folder()
            self.created = self.folder if first else None
        if fitting:
            self._save_config()
            if self.left_out:
                log.info("left out: %s", ", ".join(self.left_out))
        chosen = trainer.get("logger")
        own = chosen if isinstance(chosen, list) else [chosen] if chosen not in (None, True, False) else []
        trainer["logger"] = [*loggers(self.run, self.folder, self.dump), *own] if fitting else False
        given, mixture = trainer["callbacks"], MixtureLog()
        checkpoint_io = AsyncCheckpointIO() if self.run.checkpoint_async else AtomicCheckpointIO()
        trainer["callbacks"] = [
            *given,
            mixture,  # before what writes its figures
            MetricsLog(),
            Summary(self.folder, mixture, self._say, self.as_json),
            *([ResumeCheckpoint(self.folder, self.run.checkpoint_every, checkpoint_io)] if fitting else []),
            *([Predictions(self.folder, self._say)] if self.subcommand == "predict" else []),
        ]
        if trainer.get("enable_progress_bar") is not False:
            trainer["callbacks"].append(progress())
        trainer["plugins"] = [*trainer["plugins"], checkpoint_io, *([started] if started else [])]
        trainer["default_root_dir"] = str(self.folder)
        trainer["enable_checkpointing"] = fitting or any(isinstance(callback, Checkpoint) for callback in given)
        take_size(trainer)
        try:
            made = Trainer(**trainer)
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise UserError(f"trainer: {str(error).splitlines()[0]}") from error
        check_launch(started, made.num_devices, made.num_nodes)
        check_trainer(self.model, made)
        return made

    @rank_zero_only
    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)

    def _run_subcommand(self, subcommand: str) -> None:
        super()._run_subcommand(subcommand)
        if self.run.wandb != "disabled" and subcommand != "validate":
            from research.callbacks.wandb_results import publish

            publish(self.run, self.folder, self.dump, subcommand, self.datamodule.streams)

    def _name_of_config(self) -> str:
        files = self.config[self.subcommand].get("config") or []
        return Path(str(files[-1])).stem if files else "run"

    @rank_zero_only
    def _save_config(self) -> None:
        """``config.yaml`` repeats the run; written whole or not at all."""
        path = self.folder / "config.yaml"
        work = path.with_suffix(".new")
        config = {name: value for name, value in self.dump.items() if name != "ckpt_path"}
        work.write_text(yaml.safe_dump(config, sort_keys=False))
        os.replace(work, path)

    def _remove_stillborn(self) -> None:
        """A run that failed before its first step leaves nothing."""
        folder = self.created
        if folder is None or (folder / "metrics.csv").exists() or any(folder.glob("checkpoints/*.ckpt")):
            return
        shutil.rmtree(folder, ignore_errors=True)

    def _compare(self, saved: dict[str, Any]) -> None:
        """Refuse a checkpoint whose model, or for ``fit`` whose data, the config does not describe."""
        all_of_it, results = ("seed_everything", "model", "data"), ("model.student", "data.streams")
        for part in all_of_it if self.subcommand == "fit" else results:
            there, here = pick(saved, part), pick(self.dump, part)
            if difference := first_difference(there, here, part):
                raise UserError(f"--ckpt_path {self.checkpoint}: made with another config: {difference}")


def pick(config: dict[str, Any], dotted: str) -> Any:
    """The value at a dotted path; raises :class:`KeyError` where it leads nowhere."""
    for name in dotted.split("."):
        config = config[name]
    return config


def first_difference(there: Any, here: Any, key: str) -> str | None:
    """The first dotted key whose values differ, with both values, or none."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            if difference := first_difference(there.get(name), here.get(name), f"{key}.{name}"):
                return difference
        return None
    return None if there == here else f"{key} is {there!r} there and {here!r} here"
