"""A stream: a function from a position to a batch, so that a run can go on from any position."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from research.data.batch import Batch, Example, Row, pad_rows, same_inputs
from research.data.packing import BestFit, pack_rows
from research.data.sampling import HOLE
from research.data.vocabulary import Vocabulary
from research.models.families import Family
from research.step import View

BUCKET = 100  # batches sorted by length together: long enough to save padding, short enough to stay random


@dataclass(frozen=True)
class StreamInfo:
    """What objectives may ask of a stream.

    ``labels`` are in the order of the head's outputs; ``scale`` is mean and standard deviation of a regression's
    training labels, which its targets are standardised by; ``packed`` rows hold several documents; targets to write
    have ``max_target_length`` tokens at most.
    """

    problem: str
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    packed: bool = False
    max_target_length: int = 128


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
        batch_size: rows a batch, each of one example or packed; the last of a pass may have fewer.
        seed: the run's seed.
        shuffle: false keeps one order in each pass, of batches of equal lengths, the same for each seed.
        bucket: batches sorted by length together; 1 leaves them as they are drawn.
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
        bucket: int = BUCKET,
    ) -> None:
        self.name, self.examples, self.labels, self.views = name, examples, labels, list(views)
        self.family, self.vocabulary, self.types = family, vocabulary, types
        self.batch_size, self.shuffle, self.bucket = batch_size, shuffle, bucket
        self.packing: BestFit | None = None  # which examples share a row; none gives each its own
        self.seed = [seed, zlib.crc32(name.encode())]
        self._order = lru_cache(maxsize=2)(self._ordered)

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_order"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._ordered)

    def __len__(self) -> int:
        """Batches of one pass."""
        return -(-len(self.examples.lengths if self.packing is None else self.packing) // self.batch_size)

    def __getitem__(self, position: int) -> Batch | None:
        if position == HOLE:
            return None
        which, at = divmod(position, len(self))
        batch = self._order(which)[at]
        rng = np.random.default_rng([*self.seed, position])
        rows = [[self.examples[int(i)] for i in row] for row in batch]
        views = {
            view: pad_rows([self._row(view, examples, rng) for examples in rows], self.vocabulary.pad, self.types)
            for view in self.views
        }
        index = np.concatenate(batch)
        labels = None if self.labels is None else self.labels[index]
        return Batch(views, labels, torch.from_numpy(index), same_inputs(views))

    def _row(self, view: View, examples: Sequence[Example], rng: np.random.Generator) -> Row:
        view = view if self.shuffle else view.held_out()
        shown = [view.build(example, self.family, self.vocabulary, rng) for example in examples]
        return shown[0] if self.packing is None else pack_rows(shown)

    def _ordered(self, which: int) -> Sequence[Sequence[np.ndarray]]:
        """The batches of a pass: of each row the examples in it. An array (n, 1) takes a tenth of a list's memory."""
        seed = [*self.seed, 0xB0C5, which] if self.shuffle else [self.seed[1]]
        rng, size = np.random.default_rng(seed), self.batch_size
        if self.packing is not None:
            rows = self.packing.rows(rng)
            return [rows[i : i + size] for i in range(0, len(rows), size)]
        lengths = self.examples.lengths
        order = rng.permutation(len(lengths)) if self.shuffle else np.arange(len(lengths))
        # A short stream would be sorted whole, and each of its passes would bring the same batches.
        few = min(self.bucket, -(-len(self) // 2))
        bucket = size * few if self.shuffle else len(lengths)
        batches: list[Any] = []
        for i in range(0, len(lengths), bucket):
            alike = order[i : i + bucket]
            alike = alike[np.argsort(lengths[alike], kind="stable"), None]
            batches += [alike[j : j + size] for j in range(0, len(alike), size)]
        return [batches[i] for i in rng.permutation(len(batches))]  # so that a part stands for the whole
