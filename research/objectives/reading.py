"""What objectives read of their streams: the views of a text, and of the student's layers."""

from collections.abc import Mapping

from research.objectives.base import Objective
from research.step import View


def views_of(objectives: Mapping[str, Objective], taught: bool = False) -> dict[str, list[View]]:
    """The views of each stream that these objectives read by the student, or by the teacher too, each once."""
    views: dict[str, list[View]] = {}
    for objective in objectives.values():
        known = views.setdefault(objective.stream, [])
        known += [view for view in objective.views() if view not in known]
    for objective in objectives.values() if taught else ():
        known = views[objective.stream]
        known += [view for view in objective.taught_views() if view not in known]
    return views


def reads_of(objectives: Mapping[str, Objective]) -> dict[str, frozenset[str]]:
    """What these objectives read of the layers, a stream each."""
    streams = {objective.stream for objective in objectives.values()}
    return {s: frozenset().union(*(o.reads for o in objectives.values() if o.stream == s)) for s in streams}
