"""An Optuna study over a grid: its trials as runs, which go on after a kill, and what became of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from research.ablation.design.grid import Arm, Grid
from research.ablation.design.plan import Planned
from research.ablation.running.job import Job, stopped
from research.ablation.search.development import Development
from research.callbacks.pruning import PRUNED
from research.data.cache import key
from research.errors import UserError

EXCLUDED, ERROR = "excluded", "error"  # attributes of a trial


@dataclass(kw_only=True)
class Attempt(Planned):
    """A run of a trial."""

    trial: int


class Study:
    """Asks Optuna for settings, and tells it what their runs gave.

    Its storage is a journal beside the runs. Whatever decides a figure is in the study's name, so that a changed grid
    is another study; more ``trials`` go on with the same one. With one worker the draws depend on the trials before
    and their number alone, so that a search that was killed repeats none and draws what it would have drawn.

    Raises:
        UserError: for an arm that ``fit`` would refuse, or a figure that no arm can give.
    """

    def __init__(self, grid: Grid) -> None:
        assert grid.search is not None
        self.grid, self.search = grid, grid.search
        arms = self.search.arms(grid.arms())
        self.arms = {tuple(arm.coordinates.items()): arm for arm in arms}
        self.distributions = self.search.distributions(arms)
        if not self.distributions:
            raise UserError("search: nothing to look for; give search.space, or an axis with more than one value")
        self.name = self._checked(arms)
        self.folder = Path(grid.runs) / grid.name / "search" / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.attempts: dict[int, list[Attempt]] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.journal))),
            study_name=self.name,
            direction=self.search.direction,
            load_if_exists=True,
        )

    @property
    def journal(self) -> Path:
        return self.folder / "journal.log"

    def trials(self) -> list[FrozenTrial]:
        """Those that were run, or are."""
        return [trial for trial in self.study.trials if EXCLUDED not in trial.user_attrs]

    def runs(self) -> Iterator[Attempt]:
        """What is to be run, one after the other as someone is free to: first the trials that were interrupted."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING:
                yield from self._runs(trial)
        while len(self.trials()) < self.search.trials:
            number = len(self.study.trials)
            self.study.sampler = optuna.samplers.TPESampler(seed=number)
            self.study.ask(self.distributions)
            yield from self._runs(self.study.trials[number])

    def ended(self, attempt: Attempt, status: int) -> None:
        """Tell the study of a run that ended; a trial that was stopped by a signal stays open."""
        trial = self.study.trials[attempt.trial]
        if trial.state != TrialState.RUNNING or stopped(status):
            return
        if PRUNED in trial.user_attrs:
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif status or not attempt.job.done:
            self._fail(trial, attempt.job.log())
        elif all(other.job.done for other in self.attempts[trial.number]):
            measured, figure = self._figures(self.attempts[trial.number]), self.search.figure
            if all(figure in figures for figures in measured):
                self.study.tell(trial.number, mean(figures[figure] for figures in measured))
            else:
                self._fail(trial, f"no figure {figure}; there is {', '.join(measured[0])}")

    def ended_trials(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state.is_finished()]

    def described(self, trial: FrozenTrial) -> str:
        """A line on a trial: its settings, and what they gave."""
        settings = ", ".join(f"{name} {shown(value)}" for name, value in trial.params.items())
        if trial.state == TrialState.COMPLETE:
            return f"trial {trial.number}: {settings}: {self.search.figure} {shown(trial.value)}"
        if PRUNED in trial.user_attrs:
            return f"trial {trial.number}: {settings}: given up after step {trial.user_attrs[PRUNED]}"
        return f"trial {trial.number}: {settings}: {'FAILED' if trial.state == TrialState.FAIL else 'not done'}"

    def arm_of(self, trial: FrozenTrial) -> Arm | None:
        """What a trial's settings stand for, unless the grid excludes it or the trial was not drawn to its end."""
        if trial.params.keys() != self.distributions.keys():
            return None
        for coordinates, arm in self.arms.items():
            if all(trial.params.get(axis, value) == value for axis, value in coordinates):
                return self._drawn(arm, trial.params)
        return None

    def folders(self, trial: FrozenTrial) -> list[str]:
        """Of the trial's runs, as far as they began."""
        return [str(path) for seed in self.search.seeds if (path := self.folder / f"{trial.number}-{seed}").exists()]

    def _checked(self, arms: list[Arm]) -> str:
        """A digest of all that decides the figures, once every arm is known to run, and both ends of the ranges."""
        low, high = ({key: ends[end] for key, ends in self.search.space.items()} for end in ("low", "high"))
        drawn = [*(self._drawn(arm, low) for arm in arms), self._drawn(arms[0], high)]
        resolved = [Development(arm) for arm in drawn]
        if not any(one.can_give(self.search.figure) for one in resolved):
            objective = self.search.figure.split("/")[1]
            raise UserError(f"search.metric.{self.search.figure}: no arm has an objective '{objective}', or callbacks")
        asked = (self.search.metric, self.search.space, self.search.fixed, self.search.seeds, self.search.pruner)
        return key([one.key() for one in resolved], self.grid.seed_keys, *asked)[:12]

    def _runs(self, trial: FrozenTrial) -> Iterator[Attempt]:
        """The runs of a trial that are not done; none if it is known what they would give."""
        if (arm := self.arm_of(trial)) is None:
            self._trial(trial).set_user_attr(EXCLUDED, True)
            self.study.tell(trial.number, state=TrialState.PRUNED)
            return
        if twin := self._twin(trial):
            self.study.tell(trial.number, twin.value if twin.state == TrialState.COMPLETE else None, state=twin.state)
            return
        try:
            options = [*arm.options, *Development(arm).options()]
        except UserError as error:  # settings that do not go together
            self._fail(trial, str(error))
            return
        self.attempts[trial.number] = attempts = [
            self._attempt(trial.number, arm, seed, [*options, *self.grid.seeded(seed)]) for seed in self.search.seeds
        ]
        for attempt in attempts:
            if self.study.trials[trial.number].state != TrialState.RUNNING:  # a run before was given up, or failed
                return
            if attempt.job.done or PRUNED in trial.user_attrs:
                self.ended(attempt, 0)
            else:
                yield attempt

    def _attempt(self, number: int, arm: Arm, seed: int, options: list[str]) -> Attempt:
        name, given = f"{number}-{seed}", [*options, *self.grid.tracked(arm)]
        if seed == self.search.seeds[0]:
            given += self._watch(number)
        job = Job(name, self.folder / name, given, ("validate",), self.grid.keep_checkpoints)
        return Attempt(arm, seed, options, job, trial=number)

    def _watch(self, number: int) -> list[str]:
        """The options that report a run to the study, and let its pruner give it up."""
        given = {"metric": self.search.figure, "journal": str(self.journal), "study": self.name, "trial": number}
        callback = {
            "class_path": "research.callbacks.pruning.Pruning",
            "init_args": given | {"pruner": self.search.pruner},
        }
        return ["--trainer.callbacks+", json.dumps(callback)]

    def _drawn(self, arm: Arm, drawn: dict[str, Any]) -> Arm:
        return Arm(arm.coordinates, [*arm.options, *self.search.options(drawn)])

    def _figures(self, attempts: list[Attempt]) -> list[dict[str, float]]:
        return [json.loads((attempt.job.folder / "validation.json").read_text()) for attempt in attempts]

    def _fail(self, trial: FrozenTrial, error: str) -> None:
        self._trial(trial).set_user_attr(ERROR, error)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _twin(self, trial: FrozenTrial) -> FrozenTrial | None:
        """An earlier trial of the same settings whose end is known."""
        known = (t for t in self.trials()[: trial.number] if t.state.is_finished() and t.number < trial.number)
        return next((t for t in known if t.params == trial.params and t.state != TrialState.FAIL), None)

    def _trial(self, trial: FrozenTrial) -> optuna.Trial:
        return optuna.Trial(self.study, trial._trial_id)


def shown(value: Any) -> str:
    """A chosen value as a table shows it, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
