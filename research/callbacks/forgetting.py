"""What training does to abilities that the student had before."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import Callback, Trainer

from research.data.cache import default_folder
from research.errors import UserError
from research.evaluation.abilities import Ability
from research.evaluation.abilities.remembered import remembered
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule

    from research.models.student import Student

log = logging.getLogger(__name__)


class Forgetting(Callback, Whole):
    """Measures abilities before the first step of ``fit`` and again in ``test``.

    Logged are ``test/forgetting/NAME/before``, ``/after`` and ``/change``, their difference, and
    ``test/forgetting/share_of_run``, the part of the seconds of ``fit`` and ``test`` that measuring has taken. Figures
    from before are kept in the cache, by backbone and data, so that of many runs from one backbone the first alone
    measures them. Listed before :class:`WeightAverage`, it measures the average in validation too.

    Args:
        abilities: what to measure, by name.
        validation: also log ``validation/forgetting/NAME``, before the first step and in each validation.
    """

    def __init__(self, abilities: dict[str, Ability], validation: bool = False) -> None:
        if not abilities:
            raise UserError("trainer.callbacks: Forgetting: give at least one of abilities")
        self.abilities, self.validation = abilities, validation
        self.before: dict[str, float] = {}  # by fingerprint
        self.spent = self.trained = 0.0  # seconds of measuring, and of all up to the checkpoint

    def setup(self, trainer: Trainer, pl_module: "LightningModule", stage: str) -> None:
        module: Any = pl_module
        student = module.student
        if student.backbone is None:
            raise UserError("trainer.callbacks: Forgetting: model.student starts from random weights, with no ability")
        for name, ability in self.abilities.items():
            ability.check(name, student)

    def on_fit_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.since = time.perf_counter() - self.trained
        if trainer.ckpt_path is not None:
            return self._known()
        folder = (Path(data.cache).expanduser() if data.cache else default_folder()) / "abilities"
        with self._measuring(trainer, module.student):
            self._warn(data.streams)
            for ability in self.abilities.values():
                figure = remembered(ability, module.student, str(trainer.precision), folder)
                self.before[ability.fingerprint()] = figure
        if self.validation:
            self._log(trainer, {name: self.before[a.fingerprint()] for name, a in self.abilities.items()})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if self.validation and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._log(trainer, self._now(trainer, pl_module))

    def on_test_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self._known()
        self.since = time.perf_counter() - self.trained

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        figures: dict[str, float] = {}
        for name, after in self._now(trainer, pl_module).items():
            before = self.before[self.abilities[name].fingerprint()]
            figures |= {f"{name}/before": before, f"{name}/after": after, f"{name}/change": after - before}
        figures["share_of_run"] = self.spent / (time.perf_counter() - self.since)
        pl_module.log_dict({f"test/forgetting/{name}": value for name, value in figures.items()}, logger=False)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before, "spent": self.spent, "trained": time.perf_counter() - self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before, self.spent, self.trained = state["before"], state["spent"], state["trained"]

    def _warn(self, streams: dict[str, Any]) -> None:
        for stream, part in streams.items():
            read = part.hashes("train") if "train" in part.rows else []
            for name, ability in self.abilities.items():
                if number := int(np.isin(ability.sample.hashes(), read).sum()):
                    log.warning("Forgetting: data.streams.%s trains on %d texts of %s", stream, number, name)

    def _log(self, trainer: Trainer, figures: dict[str, float]) -> None:
        for logger in trainer.loggers:
            step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
            logger.log_metrics({f"validation/forgetting/{name}": value for name, value in figures.items()}, step)

    def _known(self) -> None:
        for name, ability in self.abilities.items():
            if ability.fingerprint() not in self.before:
                raise UserError(
                    f"trainer.callbacks: Forgetting: {name} was not measured before the checkpoint's run began; "
                    "fit with the same abilities"
                )

    def _now(self, trainer: Trainer, module: Any) -> dict[str, float]:
        with self._measuring(trainer, module.student):
            return {name: ability.measure(module.student) for name, ability in self.abilities.items()}

    @contextmanager
    def _measuring(self, trainer: Trainer, student: "Student") -> Iterator[None]:
        """In eval mode and the run's precision, by the clock."""
        start, training = time.perf_counter(), student.training
        student.eval()
        with trainer.precision_plugin.forward_context():
            yield
        student.train(training)
        self.spent += time.perf_counter() - start
