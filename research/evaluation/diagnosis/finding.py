"""One thing that looks wrong."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Finding:
    """Args:
    run: its name.
    subject: the objective, or the part of the run.
    what: what it does wrong, as the rest of a sentence, with figures.
    steps: the first and the last step of which that is said.
    advice: what to do.
    """

    run: str
    subject: str
    what: str
    steps: tuple[int, int]
    advice: str

    def __str__(self) -> str:
        first, last = self.steps
        return f"{self.run}: {self.subject} {self.what} (steps {first} to {last}). {self.advice}"


def span(steps: np.ndarray) -> tuple[int, int]:
    """The first and the last of some steps."""
    return int(steps[0]), int(steps[-1])


def levels(values: np.ndarray) -> np.ndarray:
    """The medians of ten equal pieces, of at least three values where there are so many."""
    return np.array([np.median(piece) for piece in np.array_split(values, min(10, max(len(values) // 3, 1)))])
