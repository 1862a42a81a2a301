"""One stream a step, drawn: what the modes with probabilities have in common."""

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from research.data.sampling.base import Sampling
from research.errors import UserError
from research.ramp import Ramp

BLOCK = 4096  # steps drawn at once


class Drawn(Sampling):
    """One stream a step, drawn with the probabilities of that step. The subclass gives the weights (n, K) of n steps.

    Step t takes the stream in whose part of [0, 1) a uniform number falls, which depends on the seed and t alone.

    Args:
        epoch: its length in steps; the default is one batch for each batch of all streams.
        at_least: for some streams the least share of the steps, together below 1, such as that of a pre-training
            corpus replayed against forgetting (Ibrahim et al. 2024, arXiv:2403.08763). The others share the rest.
        block: steps drawn at once.
    """

    def __init__(self, epoch: int | None, at_least: dict[str, float] | None, block: int = BLOCK) -> None:
        if epoch is not None and epoch < 1:
            raise UserError(f"data.mixture: epoch is {epoch}; it must be at least 1")
        self.epoch, self.at_least, self.block = epoch, at_least or {}, block
        for name, share in self.at_least.items():
            if not 0 < share < 1:
                raise UserError(f"data.mixture: at_least.{name} is {share}; it must be between 0 and 1")
        if sum(self.at_least.values()) >= 1:
            raise UserError(f"data.mixture: at_least adds up to {sum(self.at_least.values()):g}; it must be below 1")

    @abstractmethod
    def weights(self, steps: np.ndarray) -> np.ndarray:
        """Numbers at least 0 (n, K) that the probabilities of ``steps`` (n,) are proportional to."""

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        return self.epoch or sum(batches.values())

    def connect(self, streams: list[str], seed: int) -> None:
        for name in self.at_least:
            if name not in streams:
                raise UserError(f"data.mixture: at_least.{name}: no such stream; data.streams has {', '.join(streams)}")
        self.streams, self._seed = streams, seed
        self._floors = np.array([self.at_least.get(name, 0.0) for name in streams])
        self._index = {name: i for i, name in enumerate(streams)}
        self._step, self._given = 0, np.zeros(len(streams), dtype=np.int64)
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def begin(self, sizes: Mapping[str, int], steps: Callable[[], float], ahead: int) -> None:
        self._sizes, self._total = np.array([sizes[name] for name in self.streams]), steps

    def shares(self, steps: np.ndarray) -> np.ndarray:
        """The probabilities (n, K) of the streams in ``steps`` (n,); each row adds up to 1."""
        weights = self.weights(steps)
        return raised(weights / weights.sum(axis=1, keepdims=True), self._floors)

    def probabilities(self, step: int) -> dict[str, float]:
        return dict(zip(self.streams, self.shares(np.array([step]))[0].tolist(), strict=True))

    def turn(self, stream: str, step: int) -> int | None:
        choices, before = self.drawn(step // self.block)
        i, mine = step % self.block, self._index[stream]
        if choices[i] != mine:
            return None
        return int(before[mine] + np.count_nonzero(choices[:i] == mine))

    def drawn(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The streams of a block's steps, by number, and how many batches each had given before it."""
        first = self._step // self.block
        while first + len(self._blocks) <= block:
            self._draw(first + len(self._blocks))
        return self._blocks[block - first]

    def state_dict(self, step: int) -> dict[str, Any]:
        """The step and what each stream has given: it stays true where the run is made longer."""
        choices, before = self.drawn(step // self.block)
        given = before + np.bincount(choices[: step % self.block], minlength=len(before))
        return {"step": step, "given": given.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step, self._given, self._blocks = state["step"], np.array(state["given"]), []

    def over_time(self, setting: float | Ramp, steps: np.ndarray) -> np.ndarray:
        """The values (n,) of a setting in ``steps`` (n,)."""
        if not isinstance(setting, Ramp):
            return np.full(len(steps), setting)
        total = self._total()
        return np.array([setting.at(min(step / total, 1.0)) for step in steps.tolist()])

    def _draw(self, block: int) -> None:
        steps = np.arange(block * self.block, (block + 1) * self.block)
        borders = self.shares(steps).cumsum(axis=1)[:, :-1]
        uniform = np.random.default_rng([self._seed, block]).random((self.block, 1))
        choices = (borders <= uniform).sum(axis=1).astype(np.int16)
        streams = len(self.streams)
        if self._blocks:
            last, earlier = self._blocks[-1]
            before = earlier + np.bincount(last, minlength=streams)
        else:
            before = self._given - np.bincount(choices[: self._step % self.block], minlength=streams)
        self._blocks.append((choices, before))


def raised(shares: np.ndarray, floors: np.ndarray) -> np.ndarray:
    """Shares (n, K) lifted to their ``floors`` (K,), of a sum below 1; the others keep their proportions."""
    held = np.zeros(shares.shape, dtype=bool)
    out = shares
    while (below := (out < floors) & ~held).any():
        held |= below
        others = np.where(held, 0.0, shares)
        rest = 1 - (floors * held).sum(axis=1, keepdims=True)
        out = np.where(held, floors, others / others.sum(axis=1, keepdims=True) * rest)
    return out


def check_names(setting: str, given: Collection[str], streams: Collection[str]) -> None:
    """Refuse a setting that does not name all streams and no other."""
    if set(given) != set(streams):
        raise UserError(f"data.mixture: {setting} name {sorted(given)}, data.streams has {sorted(streams)}")


def check_positive(setting: str, value: float) -> None:
    """Refuse a number that is not above 0 and finite."""
    if not 0 < value < math.inf:
        raise UserError(f"data.mixture: {setting} is {value}; it must be above 0 and finite")
