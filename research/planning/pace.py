"""Time, cost, energy and bandwidths of a run, from the FLOPs of a step."""

import math
from dataclasses import dataclass

from research.planning.trace import Counts

STORED = 4  # bytes of a token in the tokenised table


@dataclass(frozen=True)
class Pace:
    """A run on ``devices``, each of which multiplies at ``mfu`` of its peak ``flops`` (1/s).

    ``batches`` make an optimiser step, of which the run has ``steps``, or none where that is not known. ``price`` is
    that of a device and hour, ``watts`` are a device's, and ``storage`` takes so many bytes a second.
    """

    counts: Counts
    devices: int
    batches: int
    steps: int | None
    flops: float
    mfu: float
    price: float | None
    watts: float | None
    storage: float

    @property
    def step(self) -> float:
        """Seconds of a batch on each device: t = FLOPs / (MFU x peak)."""
        return self.counts.flops / (self.mfu * self.flops)

    @property
    def tokens_per_second(self) -> float:
        """Of all devices: N x tokens of a batch / t."""
        return self.devices * self.counts.tokens / self.step

    @property
    def seconds(self) -> float | None:
        """Of the run: steps x batches x t."""
        return None if self.steps is None else self.steps * self.batches * self.step

    @property
    def hours(self) -> float | None:
        """Of all devices together."""
        return None if self.seconds is None else self.devices * self.seconds / 3600

    @property
    def cost(self) -> float | None:
        return None if self.hours is None or self.price is None else self.hours * self.price

    @property
    def energy(self) -> float | None:
        """Kilowatt hours, of the devices alone."""
        return None if self.hours is None or self.watts is None else self.hours * self.watts / 1000

    @property
    def loader_workers(self) -> int:
        """Processes like this machine's that make a device's batches as fast as it takes them."""
        return math.ceil(self.counts.loaded / self.step)

    @property
    def answers(self) -> float:
        """Bytes a second that all devices together read of a teacher's cached answers."""
        return self.devices * self.counts.read / self.step

    @property
    def read(self) -> float:
        """Bytes a second that all devices together read: tokens of the tokenised tables, and the answers."""
        return STORED * self.tokens_per_second + self.answers

    @property
    def cache(self) -> float | None:
        """Bytes of the teacher's cache, if no row comes twice in the run."""
        return None if self.seconds is None else self.answers * self.seconds

    @property
    def fed(self) -> float:
        """Bytes a second of batches that go to a device."""
        return self.counts.batch / self.step

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint: P + O."""
        return self.counts.peak["parameters"] + self.counts.optimiser

    @property
    def writing(self) -> float:
        """Seconds that a checkpoint takes."""
        return self.checkpoint / self.storage
