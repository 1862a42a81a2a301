"""The ``search`` of a grid file: which of its settings are looked for, in what ranges, and by what figure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from research.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from research.ablation.design.grid import Arm

RANGE = {"low", "high", "log", "step"}


@dataclass
class Search:
    """Looks for the values of a grid's axes, and of keys in ranges, that do best on the development splits.

    Args:
        metric: one validation figure, and whether ``max`` or ``min`` is better.
        space: for each dotted key of ``fit`` its range, ``{low: 1.0e-5, high: 1.0e-3, log: true}``, optionally with a
            ``step``; whole numbers where both ends are. The range takes the place of an axis over that key alone.
        fixed: axes that are not searched, with the value that they keep.
        trials: how many settings are tried.
        seeds: a trial is the mean of its runs with these.
        pruner: the Optuna pruner that gives up a trial's first run; the default is the median of the earlier trials.
    """

    metric: dict[str, Literal["max", "min"]]
    space: dict[str, dict] = field(default_factory=dict)
    fixed: dict = field(default_factory=dict)
    trials: int = 30
    seeds: list[int] = field(default_factory=lambda: [0])
    pruner: dict | None = None

    def __post_init__(self) -> None:
        if len(self.metric) != 1 or not self.figure.startswith("validation/"):
            told = ", ".join(self.metric) or "none"
            raise UserError(f"search.metric: {told}; give one validation/... figure: a search does not see test splits")
        if self.trials < 1:
            raise UserError(f"search.trials is {self.trials}; it must be at least 1")
        if not self.seeds or len({*self.seeds}) < len(self.seeds):
            raise UserError(f"search.seeds: {self.seeds}; give at least one, and none twice")
        for key, ends in self.space.items():
            check_range(f"search.space.{key}", ends)

    @property
    def figure(self) -> str:
        return next(iter(self.metric), "")

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return "maximize" if self.metric[self.figure] == "max" else "minimize"

    def arms(self, arms: "Iterable[Arm]") -> "list[Arm]":
        """Those of a grid's arms that have the fixed values.

        Raises:
            UserError: for one that another run comes before.
        """
        found = [arm for arm in arms if self.fixed.items() <= arm.coordinates.items()]
        if waits := next((arm for arm in found if arm.first is not None), None):
            raise UserError(f"search: arm {waits} waits for a first run; fix axes by search.fixed so that none does")
        return found

    def axes(self, arms: "Iterable[Arm]") -> dict[str, list[str]]:
        """The axes that take more than one value in the arms with the fixed values, and these."""
        values: dict[str, dict[str, None]] = {}
        for arm in self.arms(arms):
            for axis, value in arm.coordinates.items():
                values.setdefault(axis, {})[value] = None
        return {axis: [*names] for axis, names in values.items() if len(names) > 1}

    def distributions(self, arms: "Iterable[Arm]") -> "dict[str, BaseDistribution]":
        """What Optuna draws from: the axes, and the ranges."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        drawn: dict[str, BaseDistribution] = {a: CategoricalDistribution(v) for a, v in self.axes(arms).items()}
        kinds = {True: IntDistribution, False: FloatDistribution}
        return drawn | {key: kinds[self.whole(ends)](**ends) for key, ends in self.space.items()}

    @staticmethod
    def whole(ends: Mapping[str, Any]) -> bool:
        """Whether a range is one of whole numbers."""
        return all(isinstance(end, int) for end in (ends["low"], ends["high"], ends.get("step", 1)))

    def options(self, drawn: Mapping[str, Any]) -> list[str]:
        """The options of ``fit`` for what was drawn from the ranges."""
        return [part for key in self.space for part in (f"--{key}", str(drawn[key]))]


def check_range(key: str, ends: Mapping[str, Any]) -> None:
    """Refuse a range that is none."""
    if not {"low", "high"} <= ends.keys() <= RANGE:
        raise UserError(f"{key}: {', '.join(ends) or 'nothing'}; a range is {{low: ..., high: ...}}, and log or step")
    low, high = ends["low"], ends["high"]
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)) or low >= high:
        raise UserError(f"{key}: from {low} to {high}; low must be a number below high")
    if not isinstance(ends.get("log", False), bool):
        raise UserError(f"{key}.log is {ends['log']}; it must be true or false")
    if ends.get("log") and (low <= 0 or "step" in ends):
        raise UserError(f"{key}: a logarithmic range starts above 0 and has no step")
    if "step" in ends and not ends["step"] > 0:
        raise UserError(f"{key}.step is {ends['step']}; it must be above 0")
