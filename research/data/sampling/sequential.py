"""Tasks one after another."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from research.data.sampling.base import Sampling
from research.errors import UserError


@dataclass
class Phase:
    """So many ``steps``, at least 1, in each of which all of ``streams`` give a batch."""

    streams: list[str]
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.streams:
            raise UserError(
                f"data.mixture: a phase of {self.steps} steps over {self.streams}; give one of each at least"
            )


class Sequential(Sampling):
    """Phase by phase, as continual learning has its tasks; the last phase goes on until the run ends.

    A stream that comes back, such as a replayed one, goes on where it was.

    Args:
        phases: in their order.
    """

    def __init__(self, phases: list[Phase]) -> None:
        if not phases:
            raise UserError("data.mixture: phases: give at least one")
        self.phases = phases
        self.ends = list(itertools.accumulate(phase.steps for phase in phases))

    def connect(self, streams: list[str], seed: int) -> None:
        named = {name for phase in self.phases for name in phase.streams}
        if named != set(streams):
            raise UserError(f"data.mixture: phases name {sorted(named)}, data.streams has {sorted(streams)}")

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        return self.ends[-1]

    def turn(self, stream: str, step: int) -> int | None:
        at = min(sum(end <= step for end in self.ends), len(self.phases) - 1)
        if stream not in self.phases[at].streams:
            return None
        before = sum(phase.steps for phase in self.phases[:at] if stream in phase.streams)
        return before + step - (self.ends[at] - self.phases[at].steps)
