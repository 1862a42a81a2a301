"""A competence-based curriculum within a stream (Platanios et al. 2019, arXiv:1903.09848)."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from research.data.stream import Stream
from research.errors import UserError


class Curriculum:
    """Early batches show easy examples only.

    Batch p of the stream, of its first T ``batches``, is drawn from the share c(p) of its easiest examples, with

    ``c(p) = min(1, sqrt(p (1 - c_0^2) / T + c_0^2))``.

    From batch T on the stream goes on with its passes.

    Args:
        batches: T, at least 1.
        start: c_0, in (0, 1]; a batch is always drawn from as many examples as it has.
        losses: a file of JSON lines with ``where`` and ``loss``: the higher the loss that a model had on an example,
            the harder it is, and those that the file lacks are the hardest (:class:`research.callbacks.ExampleLosses`
            writes it). Without it longer texts are harder.
    """

    def __init__(self, batches: int, start: float = 0.01, losses: str | None = None) -> None:
        if batches < 1:
            raise UserError(f"data.streams: batches is {batches}; it must be at least 1")
        if not 0 < start <= 1:
            raise UserError(f"data.streams: start is {start}; it must be above 0 and at most 1")
        self.batches, self.start, self.losses = batches, start, losses

    def competence(self, batch: int) -> float:
        """The share of the examples, the easiest, that a batch is drawn from, in (0, 1]."""
        return min(1.0, math.sqrt(batch * (1 - self.start**2) / self.batches + self.start**2))

    def difficulty(self, lengths: np.ndarray, where: Callable[[int], str]) -> np.ndarray:
        """How hard each example is (n,), from their ``lengths`` in tokens (n,) or from where they stand.

        Raises:
            UserError: for a file of losses that is missing or broken, or that knows none of the examples.
        """
        if self.losses is None:
            return lengths
        known = read_losses(Path(self.losses))
        found = np.array([known.get(where(i), math.inf) for i in range(len(lengths))])
        if np.isinf(found).all():
            raise UserError(f"{self.losses}: has a loss of none of the stream's examples; 'where' is their file:line")
        return found


class Lessons(Stream):
    """A stream whose first batches follow a curriculum.

    Args:
        stream: the same without one.
        curriculum: which examples a batch may show.
        difficulty: (n,), higher is harder.
    """

    def __init__(self, stream: Stream, curriculum: Curriculum, difficulty: np.ndarray) -> None:
        self.__setstate__(stream.__getstate__())
        self.curriculum, self.easiest = curriculum, np.argsort(difficulty, kind="stable")

    def _ordered(self, which: int) -> Sequence[Sequence[np.ndarray]]:
        batches = list(super()._ordered(which))
        first, n = which * len(batches), len(self.easiest)
        for position in range(first, min(first + len(batches), self.curriculum.batches)):
            rng = np.random.default_rng([*self.seed, 0xEA5E, position])
            size = min(self.batch_size, n)
            few = max(math.ceil(self.curriculum.competence(position) * n), size)
            easy: Any = self.easiest[rng.choice(few, size, replace=False), None]
            batches[position - first] = easy
        return batches


def read_losses(path: Path) -> dict[str, float]:
    """``{where: loss}`` of a file of JSON lines; of several windows of one text, the mean."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    losses: dict[str, list[float]] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            losses.setdefault(str(row["where"]), []).append(float(row["loss"]))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}:{number}: not a JSON object with 'where' and a number 'loss'") from None
    return {where: fmean(windows) for where, windows in losses.items()}
