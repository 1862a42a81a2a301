"""More of the streams whose loss is furthest above its reference (DoReMi, Xie et al. 2023, arXiv:2305.10429)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from research.data.sampling.drawn import Drawn, check_names, check_positive
from research.errors import UserError


class LossDriven(Drawn):
    """One stream a step, of probabilities that are multiplied after each block of steps:

    ``p_i <- (1 - c) p_i exp(r e_i) / sum_j p_j exp(r e_j) + c / K``, with ``e_i = max(loss_i - reference_i, 0)``,

    where loss_i is the mean loss of the block's steps on stream i, as it is minimised, and a stream without a step in
    the block keeps its e_i. As in DoReMi, but clipped by block and not by token. Loader workers read ahead, so the
    losses of block b count from block b + 2 on, however many workers there are. The callback MixtureLog reports them.

    Args:
        reference: a loss for each stream, at least 0, such as the one an earlier run ended with. Without it the
            reference is the loss of the first block with the stream: then a stream gains while it is forgotten.
        probabilities: those of the first two blocks, above 0; the default is equal ones.
        every: steps of a block, at least 1 and no fewer than the loaders read ahead.
        rate: r, above 0.
        smoothing: c, between 0 and 1. DoReMi has 1e-3 and trains its model on the average of the probabilities; here
            they are trained on at once, and a stream that is hardly drawn would have no loss to come back by.
        epoch: its length in steps; the default is one batch for each batch of all streams.
        at_least: for some streams the least share of the steps.
    """

    def __init__(
        self,
        reference: dict[str, float] | None = None,
        probabilities: dict[str, float] | None = None,
        every: int = 100,
        rate: float = 1.0,
        smoothing: float = 0.1,
        epoch: int | None = None,
        at_least: dict[str, float] | None = None,
    ) -> None:
        if every < 1:
            raise UserError(f"data.mixture: every is {every}; it must be at least 1")
        super().__init__(epoch, at_least, block=every)
        for name, value in (reference or {}).items():
            if not 0 <= value < math.inf:
                raise UserError(f"data.mixture: reference.{name} is {value}; it must be at least 0 and finite")
        for name, value in (probabilities or {}).items():
            check_positive(f"probabilities.{name}", value)
        check_positive("rate", rate)
        if not 0 < smoothing < 1:
            raise UserError(f"data.mixture: smoothing is {smoothing}; it must be between 0 and 1")
        self.reference, self.start, self.rate, self.smoothing = reference, probabilities, rate, smoothing

    def connect(self, streams: list[str], seed: int) -> None:
        for setting, given in (("reference", self.reference), ("probabilities", self.start)):
            if given is not None:
                check_names(setting, given, streams)
        super().connect(streams, seed)
        start = np.array([(self.start or {}).get(name, 1.0) for name in streams])
        self._now = 0  # the block that is trained on
        self._shares = np.stack([start / start.sum()] * 2)  # its own, and those of the next one
        self._reference = np.array([(self.reference or {}).get(name, math.nan) for name in streams])
        self._excess = np.zeros(len(streams))
        self._losses: list[float] = []  # of the block's steps so far

    def begin(self, sizes: Mapping[str, int], steps: Callable[[], float], ahead: int) -> None:
        super().begin(sizes, steps, ahead)
        if self.block < ahead:
            raise UserError(
                f"data.mixture: every is {self.block}, but the loaders read {ahead} steps ahead; set it to at least "
                f"{ahead}, or lower data.num_workers"
            )

    def weights(self, steps: np.ndarray) -> np.ndarray:
        return self._shares[np.clip(steps // self.block - self._now, 0, 1)]

    def observe(self, step: int, loss: Callable[[], float]) -> None:
        self._losses.append(loss())
        if (step + 1) % self.block == 0:
            self._update(np.array(self._losses), self.drawn(step // self.block)[0])
            self._now, self._losses = self._now + 1, []

    def state_dict(self, step: int) -> dict[str, Any]:
        return super().state_dict(step) | {
            "now": self._now,
            "shares": self._shares.tolist(),
            "reference": self._reference.tolist(),
            "excess": self._excess.tolist(),
            "losses": list(self._losses),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._now, self._losses = state["now"], list(state["losses"])
        self._shares, self._reference, self._excess = (
            np.array(state[name]) for name in ("shares", "reference", "excess")
        )

    def _update(self, losses: np.ndarray, choices: np.ndarray) -> None:
        """Derive the shares of the block after the next from the losses (n,) of this one and their streams (n,)."""
        finite = np.isfinite(losses)  # a step that is not was left out
        for i in np.unique(choices[finite]):
            loss = losses[finite & (choices == i)].mean()
            if math.isnan(self._reference[i]):
                self._reference[i] = loss
            self._excess[i] = max(loss - self._reference[i], 0.0)
        exponent = self.rate * self._excess
        grown = self._shares[1] * np.exp(exponent - exponent.max())
        shares = (1 - self.smoothing) * grown / grown.sum() + self.smoothing / len(grown)
        self._shares = np.stack([self._shares[1], shares])
