"""A stream: a function from a position to a batch, so that a run can go on from any position."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from research.data.batch import Batch, Example, Row, Tokens, pad_rows, same_inputs
from research.data.packing import BestFit, pack_rows
from research.data.sampling import HOLE
from research.data.vocabulary import Vocabulary
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from research.models.families import Family

BUCKET = 100  # batches sorted by length together: long enough to save padding, short enough to stay random


@dataclass(frozen=True)
class StreamInfo:
    """What objectives may ask of a stream.

    ``labels`` are in the order of the head's outputs; ``scale`` is mean and standard deviation of a regression's
    training labels, which its targets are standardised by; ``packed`` rows hold several documents; targets to write
    have ``max_target_length`` tokens at most, and what is read ``max_length``, or what the student takes.
    """

    problem: str
    labels: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    packed: bool = False
    max_target_length: int = 128
    max_length: int | None = None

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> "StreamInfo":
        """From the plain values that :func:`dataclasses.asdict` gave a checkpoint."""
        return cls(**{**kept, "labels": tuple(kept["labels"]), "scale": tuple(kept["scale"])})


class Examples(Protocol):
    """Tokenised examples by index; ``lengths`` (n,) counts the tokens of each."""

    lengths: np.ndarray

    def __getitem__(self, index: int) -> Example: ...


class Stream(Dataset[Batch | None]):
    """Batches of examples by position. Position p is batch ``p % len(self)`` of pass ``p // len(self)``.

    Each pass is a new permutation in length buckets; every random number of a row comes from the seed, the stream's
    name, the position and the row's place in the batch, whichever worker of whichever process draws it.

    Args:
        name: the stream's name.
        examples: what to batch.
        labels: (n,) or (n, C), or none.
        views: what each batch shows.
        batch_size: rows a batch, each of one example or packed. Where they do not divide the examples, the batches of
            a pass have one row more or less than each other, at most ``batch_size``.
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
        family: "Family",
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
        self.rank, self.ranks = 0, 1
        self.seed = [seed, zlib.crc32(name.encode())]
        self._order = lru_cache(maxsize=2)(self._ordered)

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_order"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._ordered)

    def deal(self, rank: int, ranks: int) -> None:
        """Give of each batch every ``ranks``-th row only, from ``rank`` on; all processes together have the batch.

        Raises:
            UserError: if there are fewer rows, or fewer a batch, than processes.
        """
        self.rank, self.ranks = rank, ranks
        few = min(self._rows, self.batch_size)
        if few < ranks:
            which = "batch_size is" if few == self.batch_size else "a split of it has"
            raise UserError(f"data.streams.{self.name}: {which} {few}, too few for {ranks} processes")

    def __len__(self) -> int:
        """Batches of one pass."""
        return max(min(-(-self._rows // self.batch_size), self._rows // self.ranks), 1)

    @property
    def _rows(self) -> int:
        return len(self.examples.lengths if self.packing is None else self.packing)

    def __getitem__(self, position: int) -> Batch | None:
        if position == HOLE:
            return None
        batch = self.taken(position)
        mine = range(self.rank, len(batch), self.ranks)
        if not mine:
            return None
        views = self.shown([[self.examples[int(i)] for i in batch[row]] for row in mine], position, mine)
        index = np.concatenate([batch[row] for row in mine])
        labels = None if self.labels is None else self.labels[index]
        return Batch(views, labels, torch.from_numpy(index), same_inputs(views))

    def taken(self, position: int) -> Sequence[np.ndarray]:
        """The rows of the batch of a position: of each the examples in it."""
        which, at = divmod(position, len(self))
        return self._order(which)[at]

    def shown(self, rows: Sequence[Sequence[Example]], position: int, places: Sequence[int]) -> dict[View, Tokens]:
        """The views of rows of examples that have these places in the batch of a position."""
        rngs = [np.random.default_rng([*self.seed, position, place]) for place in places]
        return {
            view: pad_rows(
                [self._row(view, examples, rng) for examples, rng in zip(rows, rngs, strict=True)],
                self.vocabulary.pad,
                self.types,
            )
            for view in self.views
        }

    def _row(self, view: View, examples: Sequence[Example], rng: np.random.Generator) -> Row:
        view = view if self.shuffle else view.held_out()
        shown = [view.build(example, self.family, self.vocabulary, rng) for example in examples]
        return shown[0] if self.packing is None else pack_rows(shown)

    def _ordered(self, which: int) -> Sequence[Sequence[np.ndarray]]:
        """The batches of a pass: of each row the examples in it. An array (n, 1) takes a tenth of a list's memory."""
        seed = [*self.seed, 0xB0C5, which] if self.shuffle else [self.seed[1]]
        rng, count = np.random.default_rng(seed), len(self)
        borders = [i * self._rows // count for i in range(count + 1)]
        if self.packing is not None:
            rows = self.packing.rows(rng)
            return [rows[start:end] for start, end in pairwise(borders)]
        lengths = self.examples.lengths
        order = rng.permutation(len(lengths)) if self.shuffle else np.arange(len(lengths))
        # A short stream would be sorted whole, and each of its passes would bring the same batches.
        bucket = min(self.bucket, -(-count // 2)) if self.shuffle else count
        for first in range(0, count, bucket):
            alike = slice(borders[first], borders[min(first + bucket, count)])
            order[alike] = order[alike][np.argsort(lengths[order[alike]], kind="stable")]
        batches = [order[start:end, None] for start, end in pairwise(borders)]
        return [batches[i] for i in rng.permutation(count)]  # so that a part stands for the whole
