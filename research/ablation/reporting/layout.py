"""What the tables show, whatever they are written in: a row an arm, a column a metric."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from research.ablation.reporting.analysis import Analysis, Arm
from research.ablation.reporting.statistics import interval, least_p

TASK, ARROWS = "task", {"max": "↑", "min": "↓"}


@dataclass(frozen=True)
class Column:
    """A metric, of one task where the grid has several."""

    task: str | None
    metric: str

    def __str__(self) -> str:
        return f"{self.task}: {short(self.metric)}" if self.task else short(self.metric)


@dataclass(frozen=True)
class Cell:
    """What a metric of an arm came to. ``sign``: 1 if it is significantly better than the baseline, -1 if worse."""

    arm: Arm
    text: str
    remark: str = ""
    best: bool = False
    sign: int = 0


class Layout:
    """Arms by columns. The values of an axis named ``task`` stand side by side, since figures of different tasks are
    no rivals; all other axes make the rows. A task has no column of a metric that none of its runs measured."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.across = analysis.axes.index(TASK) if TASK in analysis.axes else None
        self.axes = [axis for i, axis in enumerate(analysis.axes) if i != self.across]
        tasks = [None] if self.across is None else dict.fromkeys(arm[self.across] for arm in analysis.arms)
        every = [Column(task, metric) for task in tasks for metric in analysis.metrics]
        self.columns = [column for column in every if self._measured(column)]
        self.rows: list[Arm] = list(dict.fromkeys(self.row(arm) for arm in analysis.arms))

    def row(self, arm: Arm) -> Arm:
        return tuple(value for i, value in enumerate(arm) if i != self.across)

    def arm(self, row: Arm, column: Column) -> Arm | None:
        """None if the grid leaves it out."""
        arm = row if self.across is None else (*row[: self.across], column.task or "", *row[self.across :])
        return arm if arm in self.analysis.arms else None

    def arms(self, column: Column) -> Iterator[Arm]:
        return (arm for row in self.rows if (arm := self.arm(row, column)) is not None)

    def is_baseline(self, row: Arm) -> bool:
        """Whether others are compared with this row."""
        arms = {self.analysis.baseline(arm) for arm in self.analysis.arms} - {None}
        return any(self.row(arm) == row for arm in arms if arm is not None)

    @cached_property
    def cells(self) -> list[list[Cell | None]]:
        """A list a row, None where the grid leaves an arm out."""
        best = {column: self._best(column) for column in self.columns}
        return [[self._cell(row, column, best[column]) for column in self.columns] for row in self.rows]

    def _measured(self, column: Column) -> bool:
        arms = [arm for arm in self.analysis.arms if column.task is None or arm[self.across or 0] == column.task]
        finished = [arm for arm in arms if self.analysis.done(arm)]
        return not finished or any(self.analysis.figures(arm, column.metric) for arm in finished)

    def _best(self, column: Column) -> float | None:
        """The best mean, of the arms that have all seeds; there is none of one arm alone."""
        analysis, metric = self.analysis, column.metric
        figures = [list(analysis.figures(arm, metric).values()) for arm in self.arms(column)]
        means = [interval(values).mean for values in figures if len(values) == len(analysis.seeds)]
        return (max if analysis.metrics[metric] == "max" else min)(means) if len(means) > 1 else None

    def _cell(self, row: Arm, column: Column, best: float | None) -> Cell | None:
        if (arm := self.arm(row, column)) is None:
            return None
        analysis, metric, total = self.analysis, column.metric, len(self.analysis.seeds)
        values, failed = list(analysis.figures(arm, metric).values()), analysis.failed(arm, metric)
        counts = f"{len(values)} of {total} seeds" + (f", {failed} failed" if failed else "")
        if not values:
            if failed == total:
                return Cell(arm, "failed")
            return Cell(arm, "not measured") if analysis.done(arm) and not failed else Cell(arm, "-", counts)
        of = interval(values)
        comparison = analysis.comparisons.get((arm, metric))
        return Cell(
            arm,
            with_half(of.mean, of.half, self.digits(metric)),
            counts if len(values) < total else "",
            len(values) == total and of.mean == best,
            comparison.better(analysis.metrics[metric]) if comparison else 0,
        )

    def headed(self, metric: str) -> str:
        """Its name and the direction in which it is better."""
        return f"{short(metric)} {ARROWS[self.analysis.metrics[metric]]}"

    def digits(self, metric: str) -> int:
        """Decimals of all figures of a metric: three below 10, two below 100, one above."""
        values = [value for arm in self.analysis.arms for value in self.analysis.figures(arm, metric).values()]
        largest = max(map(abs, values), default=0.0)
        return 3 if largest < 10 else 2 if largest < 100 else 1

    def details(self, metric: str) -> list[list[str]]:
        """A row an arm: its figures, and those of its comparison with the baseline. :data:`DETAILS` heads them."""
        analysis, digits = self.analysis, self.digits(metric)
        out = []
        for arm in analysis.arms:
            if not (values := list(analysis.figures(arm, metric).values())):
                continue
            of, apart = interval(values), analysis.comparisons.get((arm, metric))
            figures = [name(arm), str(of.n), number(of.mean, digits), number(of.deviation, digits),
                       span(of.low, of.high, digits)]  # fmt: skip
            if apart is None:
                out.append([*figures, *["-"] * (len(DETAILS) - len(figures))])
                continue
            tried = plural(apart.seeds) + (f" x {apart.examples} examples" if apart.examples else "")
            difference = [f"{apart.difference:+.{digits}f}", span(apart.low, apart.high, digits, "+")]
            tests = [probability(apart.p), probability(apart.corrected), tried]
            out.append(
                [*figures, name(apart.baseline), *difference, *tests, number(apart.effect, 2), needed(apart.needed)]
            )
        return out

    def notes(self) -> list[str]:
        """What the figures mean, and what so few seeds cannot show."""
        comparisons = self.analysis.comparisons.values()
        out = ["Mean over seeds ± half the width of its 95% interval (Student's t). Bold: the best mean of those with "
               "all seeds. ↑ more is better, ↓ less is better."]  # fmt: skip
        if not comparisons:
            return out
        out.append("▲ significantly better than the baseline, ▼ worse: p below 0.05 after Holm's correction over all "
                   "comparisons of the metric, less those whose few seeds can give no p as small "
                   "(Tarone 1990).")  # fmt: skip
        if any(c.examples for c in comparisons):
            out.append("Where seeds x examples are told, p and the interval of the difference are of the paired "
                       "bootstrap over both at once; it is careful (its p is too large) where luck is of single "
                       "answers, and with one seed it says nothing of other seeds.")  # fmt: skip
        flipped = sorted({c.seeds for c in comparisons if not c.examples})
        if flipped:
            out.append("Where seeds alone are told, p is of all signs of the seeds' differences, and the interval "
                       "Student's t. " + " ".join(map(floor, flipped)))  # fmt: skip
        out.append("d_z: mean of the seeds' differences over their standard deviation, corrected for few seeds. Seeds "
                   "needed: for 80% power at 5% (paired t-test, no correction), if the true d_z is the measured "
                   "one.")  # fmt: skip
        return out


DETAILS = ["arm", "seeds", "mean", "standard deviation", "95% interval", "baseline", "difference", "its 95% interval",
           "p", "p (Holm)", "compared", "d_z", "seeds needed"]  # fmt: skip


def floor(seeds: int) -> str:
    """What so few seeds cannot show."""
    least = least_p(seeds)
    told = f"{plural(seeds)} can give no p below {least:.3g}"
    return f"{told}, so no such difference can be significant." if least >= 0.05 else f"{told}, before the correction."


def plural(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds > 1)}"


def name(arm: Iterable[str]) -> str:
    """An arm as a reader knows it: what it changes, or the base."""
    return ", ".join(arm) or "base"


def short(metric: str) -> str:
    return metric.removeprefix("test/")


def with_half(mean: float, half: float | None, digits: int) -> str:
    """A mean and half its interval; without a half where one seed gives none."""
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def span(low: float | None, high: float | None, digits: int, sign: str = "") -> str:
    return "-" if low is None or high is None else f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def probability(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def needed(seeds: float | None) -> str:
    """How many seeds a difference would need; a dash where unknown, infinity where there is no difference."""
    return "-" if seeds is None else f"{seeds:.0f}" if seeds <= 1000 else ">1000" if math.isfinite(seeds) else "∞"
