"""Which streams give a batch in which step, as a function of the seed and the step alone."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
from torch.utils.data import Sampler

from research.errors import UserError

HOLE = -1  # in this step the stream gives no batch
BLOCK = 4096  # steps drawn at once in sampled mode


class Sampling(ABC):
    """How streams share the steps of training."""

    @abstractmethod
    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        """Steps of an epoch, where a pass over each stream takes so many ``batches`` on each rank."""

    @abstractmethod
    def connect(self, streams: list[str], seed: int) -> None:
        """Learn the streams' names, in their order, and the run's seed."""

    @abstractmethod
    def turn(self, stream: str, step: int) -> int | None:
        """How many batches the stream has given before this step, or none if it gives none now."""


class Joint(Sampling):
    """A batch of every stream in each step. A shorter stream starts its next pass where its last one ended.

    Args:
        epoch: ``longest`` ends an epoch when each stream has been seen whole at least once, ``shortest`` when the
            first one has; a number is its length in steps, at least 1.
    """

    def __init__(self, epoch: Literal["longest", "shortest"] | int = "longest") -> None:
        if isinstance(epoch, int) and epoch < 1:
            raise UserError(f"data.mixture: epoch is {epoch}; it must be at least 1")
        self.epoch = epoch

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        if isinstance(self.epoch, int):
            return self.epoch
        return (max if self.epoch == "longest" else min)(batches.values())

    def connect(self, streams: list[str], seed: int) -> None:
        pass

    def turn(self, stream: str, step: int) -> int | None:
        return step


class Sampled(Sampling):
    """One stream a step, drawn with fixed probabilities.

    Args:
        probabilities: a number above 0 for each stream; they are normalised.
        epoch: its length in steps; the default is one batch for each batch of all streams.
    """

    def __init__(self, probabilities: dict[str, float], epoch: int | None = None) -> None:
        if epoch is not None and epoch < 1:
            raise UserError(f"data.mixture: epoch is {epoch}; it must be at least 1")
        for name, value in probabilities.items():
            if not 0 < value < math.inf:
                raise UserError(f"data.mixture: probabilities.{name} is {value}; it must be above 0 and finite")
        self.probabilities, self.epoch = probabilities, epoch

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        return self.epoch or sum(batches.values())

    def connect(self, streams: list[str], seed: int) -> None:
        if set(streams) != set(self.probabilities):
            raise UserError(
                f"data.mixture: probabilities name {sorted(self.probabilities)}, data.streams has {sorted(streams)}"
            )
        weights = np.array([self.probabilities[name] for name in streams])
        self._seed, self._shares = seed, weights / weights.sum()
        self._index = {name: i for i, name in enumerate(streams)}
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def turn(self, stream: str, step: int) -> int | None:
        block, i = divmod(step, BLOCK)
        while len(self._blocks) <= block:
            self._draw()
        choices, before = self._blocks[block]
        mine = self._index[stream]
        if choices[i] != mine:
            return None
        return int(before[mine] + np.count_nonzero(choices[:i] == mine))

    def _draw(self) -> None:
        """Add the next block: the streams of its steps, and how often each stream came in all blocks before."""
        streams = len(self._shares)
        before = np.zeros(streams, dtype=np.int64)
        if self._blocks:
            last, earlier = self._blocks[-1]
            before = earlier + np.bincount(last, minlength=streams)
        rng = np.random.default_rng([self._seed, len(self._blocks)])
        self._blocks.append((rng.choice(streams, BLOCK, p=self._shares).astype(np.int16), before))


class Turns(Sampler[int]):
    """The positions that a stream's loader reads on one rank, from the step where training stands, without end.

    Lightning stops reading after ``len(self)`` steps of an epoch, so nothing here depends on what ends it.
    """

    def __init__(
        self, sampling: Sampling, stream: str, steps: int, start: Callable[[], int], rank: int, ranks: int
    ) -> None:
        self.sampling, self.stream, self.steps = sampling, stream, steps
        self.start, self.rank, self.ranks = start, rank, ranks

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        step = self.start()
        while True:
            turn = self.sampling.turn(self.stream, step)
            yield HOLE if turn is None else turn * self.ranks + self.rank
            step += 1
