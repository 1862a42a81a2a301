"""Tells an Optuna study how a run does on validation, and ends the run that its pruner gives up."""

from typing import TYPE_CHECKING

import optuna
from lightning import Callback, Trainer
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from research.errors import UserError

if TYPE_CHECKING:
    from lightning import LightningModule

PRUNED = "pruned"  # the attribute of a trial that says after which step it was given up


class Pruning(Callback):
    """Needs the extra ``ablation``. A run that is given up is saved like any other, and can go on.

    Args:
        metric: a validation figure, such as ``validation/ce/accuracy``.
        journal: the file of the study's journal storage.
        study: the study's name.
        trial: the number of the trial that the run belongs to.
        pruner: what gives a run up; the default is the median of the earlier trials.
    """

    def __init__(self, metric: str, journal: str, study: str, trial: int, pruner: BasePruner | None = None) -> None:
        self.metric, self.journal, self.study, self.number, self.pruner = metric, journal, study, trial, pruner

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.is_global_zero:
            storage = JournalStorage(JournalFileBackend(self.journal))
            study = optuna.load_study(study_name=self.study, storage=storage, pruner=self.pruner)
            self.trial = optuna.Trial(study, study.trials[self.number]._trial_id)

    def on_validation_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.metric not in figures:
            known = ", ".join(name for name in figures if name.startswith("validation/"))
            raise UserError(f"search.metric {self.metric}: no such figure; there is {known or 'no validation split'}")
        given_up = trainer.is_global_zero and self._report(figures[self.metric], trainer.global_step)
        if trainer.strategy.broadcast(given_up):
            trainer.should_stop = True

    def _report(self, value: float, step: int) -> bool:
        if step not in self.trial.study.trials[self.number].intermediate_values:  # a resumed run comes by again
            self.trial.report(value, step)
        if not self.trial.should_prune():
            return False
        self.trial.set_user_attr(PRUNED, step)
        return True
