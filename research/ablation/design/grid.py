"""The grid file: axes over a base config, seeds, a budget, metrics, and the arm that the others are compared with."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Self

from research.ablation.search.search import Search
from research.config_errors import Refused, build, parsing
from research.config_settings import settings_of
from research.errors import UserError

TAG = 64  # characters that W&B takes in a tag
LEAVE, ADD = "leave_one_out", "add_one_in"
FIRST = "{first}"


@dataclass(frozen=True)
class Arm:
    """A value of each axis, and the options of ``fit`` that they stand for.

    In the options ``{first}`` stands for the folder of the run of ``first`` with the same seed.
    """

    coordinates: dict[str, str]
    options: list[str]
    first: "Arm | None" = None

    def __str__(self) -> str:
        return ", ".join(self.coordinates.values()) or "base"


@dataclass
class Budget:
    """How long each run trains: so many optimiser steps, or seconds of training."""

    steps: int | None = None
    seconds: int | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None):
            raise UserError("budget: give either steps or seconds")
        if (value := self.steps or self.seconds or 0) <= 0:
            raise UserError(f"budget: {value}; it must be above 0")

    def options(self) -> list[str]:
        if self.steps is not None:
            return ["--trainer.max_steps", str(self.steps), "--trainer.max_epochs", "-1"]
        return ["--trainer.max_time", json.dumps({"seconds": self.seconds})]


@dataclass
class Grid:
    """Every combination of the axes' values is an arm, and every arm runs once with each seed.

    Args:
        base: the config of ``fit`` that all arms share, or several that compose. Paths are relative to the grid file.
        axes: for each axis its values by name. A value is a mapping of what it changes: dotted keys of ``fit``, and
            ``config`` for files. Two short forms: one dotted key with a list of its values, and ``leave_one_out``
            or ``add_one_in`` with a list of objectives, whose values are ``all``, ``-NAME`` and ``none``, ``+NAME``.
            Later axes overrule earlier ones.
        first: what a run that comes first changes in the base, such as the training of a teacher, and ``axes``: those
            whose values it shares with its arm. It may stand in a value of an axis too. ``{first}`` in other changes
            is the folder of that run, which has the arm's seed; an arm without it has no first run.
        metrics: which figures of a run are compared, and whether ``max`` or ``min`` is better.
        means: metrics that are a mean of a run's figures, such as ``test/tasks/mean: [test/a/mcc, test/b/spearman]``.
        exclude: arms that have all values of an entry are left out.
        seeds: of the runs.
        seed_keys: further keys that take the seed, such as ``data.streams.NAME.init_args.shots_seed``.
        budget: of each run; the default is what its config says.
        baseline: values of axes; an arm is compared with the arm that has these, and is otherwise the same; ``+NAME``
            with ``none`` and ``-NAME`` with ``all``, whichever of the two it is.
        search: what ``ablate --search`` looks for.
        cluster: what ``ablate --slurm`` asks for each run, by the names of sbatch: ``time`` in minutes, ``partition``,
            ``mem``, ``cpus_per_task``, ``gpus_per_node``, ``array_parallelism`` ...
        runs: the folder of all grids' runs.
        keep_checkpoints: otherwise the weights of a run are deleted when it is tested.
    """

    base: str | list[str]
    axes: dict[str, dict]  # bare: jsonargparse would make what a class_path in a dict[str, Any] describes
    metrics: dict[str, Literal["max", "min"]]
    means: dict[str, list[str]] = field(default_factory=dict)
    exclude: list[dict] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    seed_keys: list[str] = field(default_factory=list)
    budget: Budget | None = None
    first: dict | None = None
    baseline: dict = field(default_factory=dict)
    search: Search | None = None
    cluster: dict = field(default_factory=dict)
    runs: str = "runs/ablations"
    keep_checkpoints: bool = False
    path: Path = field(init=False, default=Path("grid.yaml"))

    def __post_init__(self) -> None:
        if not self.seeds or len({*self.seeds}) < len(self.seeds):
            raise UserError(f"seeds: {self.seeds}; give at least one, and none twice")
        for name in self.metrics:
            if not name.startswith(("test/", "validation/")):
                raise UserError(f"metrics.{name}: a metric is called test/... or validation/...")
        for name, parts in self.means.items():
            if name not in self.metrics or not parts or any(part in self.means for part in parts):
                raise UserError(f"means.{name}: must be one of the metrics, and the list of figures it is the mean of")
        if not self.metrics:
            raise UserError("metrics: give at least one, such as test/ce/accuracy: max")
        for axis, given in self.axes.items():
            check_axis(axis, given)
            for name in (axis, *self.values(axis)):
                if name.splitlines() != [name]:
                    told = "give it a name of one line, {NAME: {KEY: VALUE}}"
                    raise UserError(f"axes.{axis}: {name!r} cannot stand in a table; {told}")
        self.baseline = self._chosen("baseline", self.baseline)
        self.exclude = [self._chosen(f"exclude[{i}]", entry) for i, entry in enumerate(self.exclude)]
        if not self.arms():
            raise UserError("exclude: no arm is left")
        if self.search:
            ranged = (axis for axis, given in self.axes.items() if only_key(given) in self.search.space)
            first = {axis: next(iter(self.values(axis))) for axis in ranged}  # a range takes the axis' place
            self.search.fixed = first | self._chosen("search.fixed", self.search.fixed)
            if not self.search.arms(self.arms()):
                raise UserError("search.fixed: no arm is left")

    @classmethod
    def read(cls, path: str | Path, *options: str) -> Self:
        """The grid of a file, with options of the command line such as ``--seeds [0]``.

        Raises:
            UserError: naming the file, the line and the key.
        """
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action="config")
        parser.add_class_arguments(cls)
        arguments = ["--config", str(path), *options]
        with parsing(["ablate", *arguments], parser):
            config = parser.parse_args(arguments)
        try:
            made = parser.instantiate(config, instantiators=[(build, object, True)]).as_dict()
            made.pop("config")
            grid = cls(**made)
        except (Refused, UserError) as error:
            raise UserError(located(str(error), arguments)) from error
        grid.path = Path(path)
        return grid

    @property
    def name(self) -> str:
        """Of the grid's folder; a file that is not called ``grid.yaml`` adds its own."""
        folder = self.path.absolute().parent.name
        return folder if self.path.stem == "grid" else f"{folder}-{self.path.stem}"

    @property
    def results(self) -> Path:
        """The file of its results: beside ``grid.yaml``, or in a folder that has another file's name."""
        folder = self.path.parent
        return (folder if self.path.stem == "grid" else folder / self.path.stem) / "results.jsonl"

    @property
    def figures(self) -> list[str]:
        """What the metrics are, or are the means of."""
        return [figure for metric in self.metrics for figure in self.means.get(metric, [metric])]

    def measured(self, figures: Mapping[str, float]) -> dict[str, float]:
        """A run's figures, and the means of those that it has all of."""
        whole = {name: parts for name, parts in self.means.items() if all(part in figures for part in parts)}
        return {**figures} | {name: fmean(figures[part] for part in parts) for name, parts in whole.items()}

    def arms(self) -> list[Arm]:
        """All arms that are not excluded, the last axis moving fastest."""
        points = (dict(zip(self.axes, names, strict=True)) for names in itertools.product(*map(self.values, self.axes)))
        return [
            self._arm(point) for point in points if not any(entry.items() <= point.items() for entry in self.exclude)
        ]

    def seeded(self, seed: int) -> list[str]:
        """The options that give a run its seed."""
        return [part for key in ("seed_everything", *self.seed_keys) for part in (f"--{key}", str(seed))]

    def tracked(self, arm: Arm) -> list[str]:
        """The options by which the trackers know an arm's runs."""
        tags = [f"{axis}={value}"[:TAG] for axis, value in arm.coordinates.items()]
        return ["--run.group", self.name, "--run.tags+", json.dumps(tags)]

    def values(self, axis: str) -> dict[str, list[str]]:
        """The names of an axis' values, and the options that each stands for."""
        given = self.axes[axis]
        if is_ablation(given):
            leave, add = given.get(LEAVE, []), given.get(ADD, [])
            left_out = {"all": []} | {f"-{name}": [name] for name in leave} if leave else {}
            added = {"none": add} | {f"+{name}": [n for n in add if n != name] for name in add} if add else {}
            return {name: ["--without", json.dumps(out)] if out else [] for name, out in (left_out | added).items()}
        if (key := only_key(given)) is not None:
            return {named(value): [f"--{key}", named(value)] for value in given[key]}
        return {named(name): list(self._options(change)) for name, change in given.items()}

    def _arm(self, coordinates: dict[str, str]) -> Arm:
        options = self._at(coordinates)
        if not any(FIRST in option for option in options):
            return Arm(coordinates, options)
        changes = [change for axis, value in coordinates.items()
                   for name, change in self.axes[axis].items() if named(name) == value]  # fmt: skip
        given = [change["first"] for change in changes if isinstance(change, dict) and "first" in change]
        if not (given := given or [self.first] * bool(self.first)):
            raise UserError(f"arm {Arm(coordinates, [])}: {FIRST} stands for a first run; say which by the key first")
        if len(given) > 1:
            raise UserError(f"arm {Arm(coordinates, [])}: two of its values have a first run; it can have one")
        shared = {axis: coordinates[axis] for axis in self._shared(given[0])}
        first = [*self._at(shared), *self._options({k: v for k, v in given[0].items() if k != "axes"})]
        if any(FIRST in option for option in first):
            raise UserError(f"first: {FIRST} stands in its own options")
        return Arm(coordinates, options, Arm(shared, first))

    def _shared(self, first: Mapping[str, Any]) -> list[str]:
        axes: list[str] = first.get("axes", [])
        if unknown := [axis for axis in axes if axis not in self.axes]:
            raise UserError(f"first.axes: there is no axis {unknown[0]}; there are {', '.join(self.axes)}")
        return axes

    def _at(self, coordinates: Mapping[str, str]) -> list[str]:
        """The options of some values, after those of the base and before those of the budget."""
        changes = itertools.chain.from_iterable(self.values(axis)[value] for axis, value in coordinates.items())
        return [*self._files(self.base), *changes, *(self.budget.options() if self.budget else [])]

    def _options(self, change: Mapping[str, Any]) -> Iterator[str]:
        for key, value in change.items():
            if key == "config":
                yield from self._files(value)
            elif key != "first":
                yield from (f"--{key}", named(value))

    def _files(self, names: str | list[str]) -> list[str]:
        paths = [self.path.parent / name for name in ([names] if isinstance(names, str) else names)]
        return [part for path in paths for part in ("--config", str(path))]

    def _chosen(self, key: str, pairs: Mapping[str, Any]) -> dict[str, str]:
        """Values of axes by their names, which must exist."""
        for axis, value in pairs.items():
            if axis not in self.axes:
                raise UserError(f"{key}.{axis}: no such axis; there are {', '.join(self.axes)}")
            if named(value) not in (known := self.values(axis)):
                raise UserError(f"{key}.{axis}: no value is called {named(value)}; there are {', '.join(known)}")
        return {axis: named(value) for axis, value in pairs.items()}


def named(value: Any) -> str:
    """A value as the command line takes it; a number or mapping is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def is_ablation(given: Mapping[Any, Any]) -> bool:
    """Whether an entry of a grid leaves objectives out or adds them, and is no other change."""
    return given.keys() <= {LEAVE, ADD}


def only_key(given: Mapping[Any, Any]) -> str | None:
    """The dotted key of an axis in its short form."""
    return next(iter(given)) if len(given) == 1 and isinstance(next(iter(given.values())), list) else None


def check_axis(axis: str, given: Mapping[Any, Any]) -> None:
    """Refuse an axis that has no values, or values that change nothing that could be named."""
    if not given:
        raise UserError(f"axes.{axis}: give it at least one value")
    if is_ablation(given) or only_key(given):
        for key, values in given.items():
            if not isinstance(values, list) or not values or len({named(v) for v in values}) < len(values):
                raise UserError(f"axes.{axis}.{key}: must be a list of values, at least one and none twice")
            if is_ablation(given) and not all(isinstance(name, str) for name in values):
                raise UserError(f"axes.{axis}.{key}: must be names of objectives")
        return
    for name, change in given.items():
        if not isinstance(change, dict):
            told = "must be a mapping of keys to values, such as {model.optimisation.lr: 1.0e-4}"
            raise UserError(f"axes.{axis}.{named(name)}: {told}, not {named(change)}")


def located(message: str, arguments: list[str]) -> str:
    """The message, preceded by the file and line of the longest key that it begins with."""
    key = message.split(":")[0] if not message.startswith(("metrics.", "means.")) else message.rsplit(":", 1)[0]
    known = {setting.key: setting.where for setting in settings_of(arguments)}
    while key and key not in known:
        key = key.rpartition(".")[0]
    return f"{known.get(key, '')}{message}"
