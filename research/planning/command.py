"""``plan``: what a run needs on a machine that is not here: memory by strategy, time, cost, bandwidths."""

import json
from collections.abc import Mapping
from typing import Any

import psutil
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from research.errors import UserError
from research.models.teachers.caching.command import HELP_K, check_k
from research.planning.cached import planned
from research.planning.devices import DEVICES, device, measured_peak
from research.planning.meter import Meter
from research.planning.pace import Pace
from research.planning.quantity import number
from research.planning.report import as_data, as_text
from research.planning.strategies import Step
from research.planning.trace import Counts, trace
from research.training_cli import TrainingCLI

MIXED = {"bf16-mixed": "bf16-true", "16-mixed": "16-true", "16": "16-true"}  # the precision of gathered parameters


class Planning(TrainingCLI):
    """Reads a config as ``fit`` does, and counts a step of it without data, weights or the devices."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(["fit", *arguments])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        for name, kind, default, told in (
            ("devices", int, 1, "how many there are, over all nodes"),
            ("device", str | None, None, f"one of {', '.join(DEVICES)}; the default is this machine's processor"),
            ("device-memory", str | None, None, "such as 80GB"),
            ("device-flops", str | None, None, "peak FLOP/s of matrix products, such as 312T"),
            ("mfu", float, 0.4, "the share of the peak that the step's matrix products reach, in (0, 1]"),
            ("price", float | None, None, "of a device and hour"),
            ("watts", float | None, None, "of a device"),
            ("storage", str, "1GB", "bytes a second that checkpoints are written at"),
            ("k", int | None, None, f"of a cached teacher whose cache is not there: {HELP_K}"),
        ):
            parser.add_argument(f"--{name}", type=kind, default=default, help=told)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        config = self.config.fit
        if config.devices < 1:
            raise UserError(f"--devices is {config.devices}; it must be at least 1")
        if not 0 < config.mfu <= 1:
            raise UserError(f"--mfu is {config.mfu}; it must be above 0 and at most 1")
        for name in ("price", "watts"):
            if not (config[name] or 0) >= 0:
                raise UserError(f"--{name} is {config[name]}; it must be at least 0")

    def before_instantiate_classes(self) -> None:
        asked, self.config.fit.trainer.precision = self.config.fit.trainer.precision, None  # not this machine's concern
        super().before_instantiate_classes()
        self.config.fit.trainer.precision = asked

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        return None  # type: ignore[return-value]  # each trace makes its own

    def _run_subcommand(self, subcommand: str) -> None:
        config = self.config.fit
        if self.model.privacy is not None:
            raise UserError("model.privacy: plan counts steps of whole batches, DP-SGD takes one example at a time")
        given = None if config.device is None else device(config.device)
        precision = str(config.trainer.precision or "32-true")
        self.gpu = given is not None or config.trainer.accelerator in ("gpu", "cuda")
        memory = number("--device-memory", config.device_memory) if config.device_memory else None
        flops = number("--device-flops", config.device_flops) if config.device_flops else None
        narrow = MIXED.get(precision, precision)
        batch = {name: stream.batch_size for name, stream in self.datamodule.streams.items()}
        for name, size in batch.items():
            if size < config.devices:
                told = f"data.streams.{name}.init_args.batch_size is {size}, of all devices together"
                raise UserError(f"{told}; --devices is {config.devices}: raise it to a multiple of that")
        share = {name: -(-size // config.devices) for name, size in batch.items()}  # rows of a device
        more = {name: 2 * size for name, size in share.items()}
        counts = [[self._counts(p, rows) for p in dict.fromkeys([precision, narrow])] for rows in (share, more)]
        divided, taller = (Step(each[0], each[-1], config.devices) for each in counts)
        pace = Pace(
            counts=divided.whole,
            devices=config.devices,
            batches=config.trainer.accumulate_grad_batches,
            steps=config.trainer.max_steps if config.trainer.max_steps >= 0 else None,
            flops=flops or (given.peak(precision) if given else measured_peak(precision)),
            mfu=config.mfu,
            price=config.price,
            watts=config.watts or (given.watts if given else None),
            storage=number("--storage", config.storage),
        )
        memory = memory or (given.memory if given else psutil.virtual_memory().total)
        self.plan = as_data(divided, taller, batch, pace, memory)

    def _counts(self, precision: str, rows: Mapping[str, int]) -> Counts:
        """The counts of a step whose streams give so many rows each."""
        if self.model.student.model is not None:
            self.instantiate_classes()
        module, data, config = self.model, self.datamodule, self.config.fit
        meter = Meter(config.devices)
        object.__setattr__(module, "teacher", planned(module.teacher, config.k, meter))
        check_k(config.k, module.student)
        for name, stream in data.streams.items():
            stream.batch_size = rows[name]
        data.connect(module, config.seed_everything)
        return trace(module, data, precision, config.trainer.gradient_clip_val, self.gpu, meter)


def main(arguments: list[str]) -> int:
    """Print what the run that the command line and its config files describe would need."""
    planning = Planning(arguments)
    print(json.dumps(planning.plan, indent=2) if planning.as_json else as_text(planning.plan))
    return 0
