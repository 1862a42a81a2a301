"""What augmentations have in common: they are for training alone, and change ordinary tokens."""

from dataclasses import dataclass

import numpy as np

from research.errors import UserError
from research.step import Clean, View


@dataclass(frozen=True, kw_only=True)
class Augmentation(View):
    """A view of a text that keeps its label. Validation and test data are shown as they are.

    ``draw`` tells apart views of equal settings that are drawn independently.
    """

    draw: int = 0

    def held_out(self) -> View:
        return Clean()


def check_rate(name: str, rate: float) -> None:
    """Refuse a rate outside (0, 1)."""
    if not 0 < rate < 1:
        raise UserError(f"{name} is {rate}; it must lie in (0, 1)")


def chosen(candidates: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Each candidate (n,) bool with probability ``rate``, but not all: one at least is left, whichever."""
    out = candidates & (rng.random(len(candidates)) < rate)
    if out.any() and (out == candidates).all():
        out[rng.choice(np.flatnonzero(out))] = False
    return out
