"""Learning-rate schedules: the share of the peak rate that each optimiser step uses."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from research.errors import UserError

KEY = "model.optimisation.schedule"


@dataclass(frozen=True)
class Schedule(ABC):
    """A linear warm-up from 0 to the peak rate, then what :meth:`after_warmup` says.

    Args:
        warmup: optimiser steps as a whole number >= 0, or as a share of all steps in [0, 1).

    Raises:
        UserError: if a setting is out of its range.
    """

    warmup: int | float = 0.1

    def __post_init__(self) -> None:
        share = isinstance(self.warmup, float)
        if not (0 <= self.warmup < 1 if share else self.warmup >= 0):
            raise UserError(f"{KEY}: warmup is {self.warmup}; give a share in [0, 1) or whole steps >= 0")

    def factor(self, step: int, total: int) -> float:
        """The multiplier of the peak rate, in [0, 1].

        Args:
            step: optimiser steps taken so far: 0 gives the rate of the first, ``total - 1`` of the last.
            total: optimiser steps of the whole run, >= 1. Beyond it the schedule stays where it ended.
        """
        step, warmup = min(step, total), self.warmup_steps(total)
        return step / warmup if step < warmup else self.after_warmup(step, warmup, total)

    def warmup_steps(self, total: int) -> int:
        """The warm-up as a number of steps; a share is rounded to the nearest and spares the last step."""
        return min(round(self.warmup * total), total - 1) if isinstance(self.warmup, float) else self.warmup

    @abstractmethod
    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        """The multiplier where ``step`` >= ``warmup``."""


def check_shares(**settings: float) -> None:
    """Raise a :class:`UserError` that names the first setting outside [0, 1]."""
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise UserError(f"{KEY}: {name} is {value}; it must lie in [0, 1]")


def progress(step: float, start: float, end: float) -> float:
    """How far ``step`` >= ``start`` has come from there to ``end``, in [0, 1]; 1 where the two coincide."""
    return min(1.0, (step - start) / (end - start)) if end > start else 1.0


def between(first: float, last: float, x: float) -> float:
    """Half a cosine from ``first`` at x = 0 to ``last`` at x = 1."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * x))


@dataclass(frozen=True)
class Constant(Schedule):
    """Stays at the peak."""

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line from the peak to ``final`` (Devlin et al. 2019).

    Args:
        final: the rate after the last step, as a share of the peak in [0, 1].
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(final=self.final)

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        return 1 - (1 - self.final) * progress(step, warmup, total)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the peak to ``final`` (Loshchilov & Hutter 2017, without restarts).

    Args:
        final: the rate after the last step, as a share of the peak in [0, 1].
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(final=self.final)

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        return between(1.0, self.final, progress(step, warmup, total))


@dataclass(frozen=True)
class Rewarmed(Cosine):
    """A cosine that starts again where the data change (Gupta et al. 2023, arXiv:2308.04014).

    The second phase rises from ``final`` to the peak and falls to ``final`` once more. With a share of the first
    phase's data replayed it forgets little of them (Ibrahim et al. 2024, arXiv:2403.08763). Where the first phase was
    a run of its own, :class:`Cosine` with its warm-up is the same.

    Args:
        warmup: of each phase: its steps, or its share.
        at: the share of all steps at which the second phase begins, in [0, 1].
    """

    at: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(at=self.at)

    def factor(self, step: int, total: int) -> float:
        second = min(math.ceil(self.at * total), total - 1)
        if step < second:
            return super().factor(step, second)
        share = super().factor(step - second, total - second)
        warming = step - second < self.warmup_steps(total - second)
        return self.final + (1 - self.final) * share if warming else share


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """sqrt(w / step) for a warm-up of w steps, at least 1 (Vaswani et al. 2017), with no end in view."""

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        return math.sqrt(warmup / step) if warmup else 1 / math.sqrt(step + 1)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up from ``initial`` and another one down to ``last`` (Smith & Topin 2018).

    As ``torch.optim.lr_scheduler.OneCycleLR`` without its momentum cycle: the peak is at the last step of the
    warm-up, and the last step of the run (not what follows it) has the rate ``last``.

    Args:
        initial: the rate of the first step, as a share of the peak in [0, 1].
        last: the rate of the last step, as a share of the peak in [0, 1].
    """

    initial: float = 0.04
    last: float = 4e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(initial=self.initial, last=self.last)

    def factor(self, step: int, total: int) -> float:
        warmup = self.warmup_steps(total)
        if step < warmup:
            return between(self.initial, 1.0, progress(step, 0, warmup - 1))
        return self.after_warmup(step, warmup, total)

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        return between(1.0, self.last, progress(step, warmup - 1, total - 1))


@dataclass(frozen=True)
class WSD(Schedule):
    """Warm-up, stable, decay (Hu et al. 2024); any stable step can be gone on from or decayed later.

    Args:
        decay: the share of all steps that decays, in [0, 1]; with a share as warm-up at most 1 together.
        shape: ``linear`` decay, or ``1-sqrt``, which falls fast at first (Hägele et al. 2024).
        final: the rate after the last step, as a share of the peak in [0, 1].
    """

    decay: float = 0.2
    shape: Literal["linear", "1-sqrt"] = "1-sqrt"
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(decay=self.decay, final=self.final)
        if isinstance(self.warmup, float) and self.warmup + self.decay > 1 + 1e-9:
            raise UserError(f"{KEY}: warmup {self.warmup} and decay {self.decay} together pass 1")
        if self.shape not in ("linear", "1-sqrt"):
            raise UserError(f"{KEY}: shape is {self.shape}; it must be linear or 1-sqrt")

    def after_warmup(self, step: int, warmup: int, total: int) -> float:
        start = max(warmup, total - round(self.decay * total))
        if step < start:
            return 1.0
        x = progress(step, start, total)
        return 1 - (1 - self.final) * (x if self.shape == "linear" else math.sqrt(x))
