"""The figures of a grid's arms, and what sets each apart from its baseline."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from research.ablation.reporting.statistics import (
    SIGNIFICANT,
    effect_size,
    holm,
    interval,
    least_p,
    resampled,
    seeds_needed,
    sign_flips,
)
from research.ablation.results import Results

if TYPE_CHECKING:
    from numpy import ndarray

Arm = tuple[str, ...]  # its value of each axis, in their order
NEAREST = {"+": "none", "-": "all"}  # what an arm that adds one objective, or leaves one out, is one step from


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, in one metric, over the seeds that both have.

    ``difference`` is the arm's mean less the baseline's, between ``low`` and ``high`` with 95% confidence;
    ``corrected`` is ``p`` after Holm's correction over all comparisons of the metric that could have given so small a
    p. ``effect`` is d_z, and ``needed`` the seeds that a paired t-test needs to find a difference of that size.
    ``examples`` is how many took part, 0 if only the seeds' figures did.
    """

    baseline: Arm
    seeds: int
    examples: int
    difference: float
    low: float | None
    high: float | None
    p: float
    effect: float | None
    needed: float | None
    corrected: float = 1.0

    @property
    def least(self) -> float:
        """The smallest p that it could have given with so many seeds, whatever they measured."""
        return 0.0 if self.examples else least_p(self.seeds)

    def better(self, direction: str) -> int:
        """1 where the arm is significantly better than its baseline, -1 where it is worse, 0 where nobody can say."""
        if self.corrected >= SIGNIFICANT:
            return 0
        return 1 if (self.difference > 0) == (direction == "max") else -1


class Analysis:
    """What the results say of each arm."""

    def __init__(self, results: Results) -> None:
        self.header = results.header
        self.axes: list[str] = list(self.header["axes"])
        self.metrics: dict[str, str] = self.header["metrics"]
        self.seeds: list[int] = self.header["seeds"]
        self.arms: dict[Arm, list[dict[str, Any]]] = {}
        for run in results.runs:
            self.arms.setdefault(tuple(run["arm"][axis] for axis in self.axes), []).append(run)

    def done(self, arm: Arm) -> list[dict[str, Any]]:
        return [run for run in self.arms[arm] if run["status"] == "done"]

    def figures(self, arm: Arm, metric: str) -> dict[int, float]:
        """What each seed measured; a figure that is not finite counts as none."""
        measured = {run["seed"]: run["metrics"].get(metric) for run in self.done(arm)}
        return {seed: value for seed, value in measured.items() if value is not None and math.isfinite(value)}

    def failed(self, arm: Arm, metric: str) -> int:
        """The runs that failed, or whose figure is not finite."""
        runs, known = self.arms[arm], self.figures(arm, metric)
        return sum(r["status"] == "failed" or (metric in r.get("metrics", {}) and r["seed"] not in known) for r in runs)

    def cost(self, arm: Arm, part: str) -> list[float]:
        """What its finished runs cost in ``seconds``, ``tokens`` or ``peak_memory_gb``.

        The seconds are of training, with those of a run that had to come first.
        """
        costs = [run["cost"] for run in self.done(arm)]
        return [one[part] + one.get(f"first_{part}", 0) for one in costs]

    def baseline(self, arm: Arm) -> Arm | None:
        """The arm that has the baseline's values and is otherwise the same; None for itself, or if there is none.

        Where that is ``none`` or ``all``, ``+NAME`` is compared with ``none`` and ``-NAME`` with ``all``, if the grid
        has it: each differs from its own by one objective.
        """
        chosen = self.header.get("baseline") or {}
        other = tuple(chosen.get(axis, value) for axis, value in zip(self.axes, arm, strict=True))
        nearest = tuple(
            NEAREST.get(value[:1], given) if given in NEAREST.values() else given
            for value, given in zip(arm, other, strict=True)
        )
        return next((one for one in (nearest, other) if one in self.arms and one != arm), None)

    @cached_property
    def comparisons(self) -> dict[tuple[Arm, str], Comparison]:
        """Of all arms that have figures of the same seeds as their baseline."""
        out: dict[tuple[Arm, str], Comparison] = {}
        for metric in self.metrics:
            family = {arm: made for arm in self.arms if (made := self._compare(arm, metric)) is not None}
            corrected = holm([c.p for c in family.values()], [c.least for c in family.values()])
            out |= {(arm, metric): replace(family[arm], corrected=p) for arm, p in zip(family, corrected, strict=True)}
        return out

    def _compare(self, arm: Arm, metric: str) -> Comparison | None:
        import numpy as np

        if (baseline := self.baseline(arm)) is None:
            return None
        ours, theirs = self.figures(arm, metric), self.figures(baseline, metric)
        if not (seeds := [seed for seed in ours if seed in theirs]):
            return None
        apart = np.array([ours[seed] - theirs[seed] for seed in seeds])
        mine, other = self.examples(arm, metric, seeds), self.examples(baseline, metric, seeds)
        if mine is not None and other is not None and mine[0] == other[0]:
            scores = mine[1] - other[1]
            low, high, p = resampled(scores)
            examples = scores.shape[1]
        else:
            of_seeds = interval(apart)
            low, high, p, examples = of_seeds.low, of_seeds.high, sign_flips(apart), 0  # type: ignore[assignment]
        effect = effect_size(apart)
        needed = None if effect is None else seeds_needed(effect)
        return Comparison(baseline, len(seeds), examples, float(apart.mean()), low, high, p, effect, needed)

    def examples(self, arm: Arm, metric: str, seeds: list[int]) -> "tuple[str, ndarray] | None":
        """The scores (seeds, examples) whose means are the metric, and the digest of the examples' places.

        None if a run has no scores of the metric, or if its examples change with the seed.
        """
        import numpy as np

        runs = {run["seed"]: run for run in self.done(arm)}
        scored = [runs[seed]["examples"].get(metric) for seed in seeds]
        if None in scored or len({one["places"] for one in scored}) > 1:
            return None
        return scored[0]["places"], np.array([[float(score) for score in one["scores"]] for one in scored])
