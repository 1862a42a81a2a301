"""Whether one objective's effect depends on another: arms that hold neither, one, the other and both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from research.ablation.reporting.analysis import Analysis, Arm
from research.ablation.reporting.statistics import Interval, interval

CHANGES = ("+", "-")


@dataclass(frozen=True)
class Square:
    """Two objectives, or sets of them, and the values of an axis that hold neither, the one, the other, and both.

    ``beside`` are those that all four values hold.
    """

    one: str
    other: str
    beside: str
    values: tuple[str, str, str, str]


def squares(values: Sequence[str]) -> list[Square]:
    """All squares of an axis whose values name objectives: ``none``, ``+A``, ``-A`` and ``all``, or ``A+B``.

    Leaving one out and adding one in, together, hold a square of each objective A and of all the others.
    """
    held: dict[frozenset[str], str] = {}
    for value, names in zip(values, members(values), strict=True):
        held.setdefault(names, value)
    out = []
    for none in held:
        larger = [names for names in held if names > none]
        for one, other in combinations(larger, 2):
            if one & other == none and one | other in held:
                first, second = sorted((one, other), key=len)
                values = held[none], held[first], held[second], held[one | other]
                out.append(Square(label(first - none), label(second - none), label(none), values))
    return out


def members(values: Sequence[str]) -> list[frozenset[str]]:
    """The objectives that each value of an axis stands for."""
    every = frozenset(value[1:] for value in values if value.startswith(CHANGES))
    named = {"none": frozenset[str](), "all": every} if every else {"none": frozenset[str]()}
    return [named[v] if v in named else every - {v[1:]} if v.startswith("-") else frozenset(v.strip("+").split("+"))
            for v in values]  # fmt: skip


def label(names: Iterable[str]) -> str:
    """A set of objectives as one word, the same in whatever order they are named."""
    return "+".join(sorted(names))


def effects(analysis: Analysis, arms: Sequence[Arm | None], metric: str) -> list[Interval] | None:
    """What the one adds without the other, what it adds with it, and the difference of both, over common seeds.

    ``arms`` hold neither, the one, the other and both; one is None if the grid leaves it out. None if no seed has all.
    """
    import numpy as np

    figures = [analysis.figures(arm, metric) if arm else {} for arm in arms]
    seeds = [seed for seed in figures[0] if all(seed in of for of in figures)]
    if not seeds:
        return None
    neither, one, other, both = (np.array([of[seed] for seed in seeds]) for of in figures)
    return [interval(one - neither), interval(both - other), interval(both - other - (one - neither))]
