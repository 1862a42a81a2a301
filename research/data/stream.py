"""A stream: a function from a position to a batch, so that a run can go on from any position."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from research.data.batch import Batch, Example, pad_rows
from research.data.sampling import HOLE
from research.data.vocabulary import Vocabulary
from research.models.families import Family
from research.step import View

BUCKET = 50  # batches sorted by length together: long enough to save padding, short enough to stay random


@dataclass(frozen=True)
class StreamInfo:
    """What objectives may ask of a stream.

    ``labels`` are in the order of the head's outputs; ``scale`` is mean and standard deviation of a regression's
    training labels, which its targets are standardised by.
    """

    problem: str
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)


class Examples(Protocol):
    """Tokenised examples by index; ``lengths`` (n,) counts the tokens of each."""

    lengths: np.ndarray

    def __getitem__(self, index: int) -> Example: ...


class Stream(Dataset[Batch | None]):
    """Batches of examples by position. Position p is batch ``p % len(self)`` of pass ``p // len(self)``.

    Each pass is a new permutation in length buckets; every random number comes from the seed, the stream's name and
    the position, whichever worker draws it.

    Args:
        name: the stream's name.
        examples: what to batch.
        labels: (n,) or (n, C), or none.
        views: what each batch shows.
        batch_size: examples a batch; the last of a pass may have fewer.
        seed: the run's seed.
        shuffle: false keeps one order in each pass, of batches of equal lengths, the same for each seed.
    """

    def __init__(
        self,
        name: str,
        examples: Examples,
        labels: Tensor | None,
        views: Sequence[View],
        family: Family,
        vocabulary: Vocabulary,
        batch_size: int,
        seed: int,
        shuffle: bool,
        types: bool = False,
    ) -> None:
        self.name, self.examples, self.labels, self.views = name, examples, labels, list(views)
        self.family, self.vocabulary, self.types = family, vocabulary, types
        self.batch_size, self.shuffle = batch_size, shuffle
        self.seed = [seed, zlib.crc32(name.encode())]
        self._order = lru_cache(maxsize=2)(self._ordered)

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_order"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._ordered)

    def __len__(self) -> int:
        """Batches of one pass."""
        return -(-len(self.examples.lengths) // self.batch_size)

    def __getitem__(self, position: int) -> Batch | None:
        if position == HOLE:
            return None
        which, at = divmod(position, len(self))
        index = self._order(which)[at]
        rng = np.random.default_rng([*self.seed, position])
        examples = [self.examples[int(i)] for i in index]
        views = {
            view: pad_rows(
                [view.build(e, self.family, self.vocabulary, rng) for e in examples], self.vocabulary.pad, self.types
            )
            for view in self.views
        }
        return Batch(views, None if self.labels is None else self.labels[index], torch.from_numpy(index))

    def _ordered(self, which: int) -> list[np.ndarray]:
        n, size = len(self.examples.lengths), self.batch_size
        if not self.shuffle:
            order = np.argsort(self.examples.lengths, kind="stable")
            batches = [order[i : i + size] for i in range(0, n, size)]
            mixed = np.random.default_rng(self.seed[1]).permutation(len(batches))  # a part then stands for the whole
            return [batches[i] for i in mixed]
        rng = np.random.default_rng([*self.seed, 0xB0C5, which])
        order = rng.permutation(n)
        batches = []
        for i in range(0, n, size * BUCKET):
            bucket = order[i : i + size * BUCKET]
            bucket = bucket[np.argsort(self.examples.lengths[bucket], kind="stable")]
            batches += [bucket[j : j + size] for j in range(0, len(bucket), size)]
        return [batches[i] for i in rng.permutation(len(batches))]
