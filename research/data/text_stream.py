"""Batches of texts that are read and tokenised when they are asked for."""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from research.data.batch import Batch, Example, same_inputs
from research.data.sampling import ENDLESS, HOLE
from research.data.sources import Source
from research.data.sources.source import Record
from research.data.stream import BUCKET, Stream
from research.data.tokenised import chunks, encode, record_hashes, share
from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RECENT = 256  # batches kept, since a loader asks anew for what it had fetched ahead when an epoch ended


class Piece(NamedTuple):
    """Text that becomes one example; ``last`` is false where its document goes on."""

    text: str
    last: bool


@dataclass
class Kept:
    """Which records are trained on: no ``share`` of the hashes under ``seed``, and none of ``forbidden`` (sorted)."""

    share: float
    seed: int
    forbidden: np.ndarray

    def __call__(self, records: Sequence[Record]) -> np.ndarray:
        """(n,) bool for n records."""
        hashes = record_hashes(records)
        return (share(hashes, self.seed) >= self.share) & ~np.isin(hashes, self.forbidden)


@dataclass
class Texts:
    """The pieces of a source in batches; the same ones whoever reads them.

    In each pass the parts of the source come in another order, and pieces leave in random order a buffer that is
    filled up as it is emptied. Batches hold neighbours in length, so that little of them is padding.

    Args:
        source: where the texts come from.
        kept: which records to train on.
        size: characters of a piece, about; longer texts are cut.
        buffer: pieces to draw from.
        batch_size: pieces a batch; the last ones of a pass may have fewer.
        seed: of the order.
    """

    source: Source
    kept: Kept
    size: int
    buffer: int
    batch_size: int
    seed: Sequence[int]

    def batches(self, which: int) -> Iterator[list[Piece]]:
        """The batches of a pass, read from its beginning."""
        rng = np.random.default_rng([*self.seed, which])
        parts = self.source.parts()
        pieces = shuffled(self._pieces([parts[i] for i in rng.permutation(len(parts))]), self.buffer, rng)
        while bucket := list(islice(pieces, self.batch_size * BUCKET)):
            bucket.sort(key=lambda piece: len(piece.text))
            count = -(-len(bucket) // self.batch_size)
            borders = [i * len(bucket) // count for i in range(count + 1)]
            yield from (bucket[borders[i] : borders[i + 1]] for i in rng.permutation(count))

    def sample(self, count: int) -> list[str]:
        """The first so many texts to train on, uncut."""
        records = (chunk[i] for chunk in chunks(self.source) for i in np.flatnonzero(self.kept(chunk)))
        return [record["text"] for record in islice(records, count)]

    def _pieces(self, parts: Iterable[Source]) -> Iterator[Piece]:
        for part in parts:
            for chunk in chunks(part):
                for record in (chunk[i] for i in np.flatnonzero(self.kept(chunk))):
                    texts = cut(record["text"], self.size)
                    yield from (Piece(text, i + 1 == len(texts)) for i, text in enumerate(texts))


def cut(text: str, size: int) -> list[str]:
    """As few pieces of nearly equal length as fit ``size`` characters; borders move back behind white space near by."""
    text = text.strip()
    count, reach = -(-len(text) // size), size // 10
    borders = [0]
    for i in range(1, count):
        at = i * len(text) // count
        space = max(text.rfind(white, at - reach, at) for white in " \n")
        borders.append(at if space < 0 else space + 1)
    return [text[begin:end] for begin, end in zip(borders, [*borders[1:], len(text)], strict=True) if end > begin]


def shuffled(items: Iterator[Any], buffer: int, rng: np.random.Generator) -> Iterator[Any]:
    """The items in random order, from a buffer that takes in the next item for each that leaves."""
    held = list(islice(items, buffer))
    for item in items:
        i = int(rng.integers(buffer))
        yield held[i]
        held[i] = item
    yield from (held[i] for i in rng.permutation(len(held)))


class TextStream(Stream):
    """A stream that reads its texts from the beginning of a pass up to the position it is asked for.

    Which pieces of text a batch has does not depend on tokens, so what is passed over is read, but not tokenised: by
    each worker of a loader the batches of all others, and by a run that goes on all batches it has had. Asked for
    rising positions, it reads every pass once; a resumed run reads one pass whole to learn its length.

    Args:
        texts: what to read.
        tokenizer: what makes ids of it.
        room: tokens of an example, special ones not included; a piece that has more becomes several.
        like: the stream's settings, as those of :class:`Stream` by name.
    """

    def __init__(self, texts: Texts, tokenizer: "PreTrainedTokenizerBase", room: int, **like: Any) -> None:
        self.like = like
        super().__init__(examples=Encoded([]), labels=None, batch_size=texts.batch_size, shuffle=True, **like)
        self.texts, self.tokenizer, self.room = texts, tokenizer, room
        self._length: int | None = None  # batches of a pass, once one was read to its end
        self._recent: OrderedDict[int, list[Piece]] = OrderedDict()
        self._begin(0, 0)

    def __len__(self) -> int:
        return ENDLESS

    @property
    def _rows(self) -> int:
        return ENDLESS

    def __getitem__(self, position: int) -> Batch | None:
        if position == HOLE:
            return None
        pieces = self._at(position)
        mine = range(self.rank, len(pieces), self.ranks) or [self.rank % len(pieces)]  # no process without a batch
        ids = encode(self.tokenizer, [pieces[place].text for place in mine])
        rows, places = [], []
        for place, row in zip(mine, ids, strict=True):
            parts = np.array_split(np.array(row, np.int64), -(-len(row) // self.room) or 1)
            last = pieces[place].last
            rows += [[Example(part, ends=last and part is parts[-1])] for part in parts if len(part)]
            places += [place + i * len(pieces) for i, part in enumerate(parts) if len(part)]
        if not rows and self.ranks == 1:
            return None
        if not rows:  # no text that has a token, and the other processes wait for this one
            rows, places = [[Example(np.zeros(0, np.int64))]], [self.rank]
        views = self.shown(rows, position, places)
        return Batch(views, shared=same_inputs(views))

    def __getstate__(self) -> dict:
        """A worker reads for itself, from the beginning."""
        return {**super().__getstate__(), "_batches": None, "_process": 0, "_recent": OrderedDict()}

    def _begin(self, which: int, position: int) -> None:
        """Stand before the first batch of a pass."""
        self._which, self._first, self._next, self._process = which, position, position, os.getpid()
        self._batches: Iterator[list[Piece]] | None = self.texts.batches(which)

    def _at(self, position: int) -> list[Piece]:
        while position not in self._recent:
            self._approach(position)
            assert self._batches is not None
            pieces = next(self._batches, None)
            if pieces is not None:
                self._recent[self._next] = pieces
                self._next += 1
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
            elif self._next == self._first:
                raise UserError(f"data.streams.{self.name}: no training text is left beside what is held out")
            else:
                self._length = self._next - self._first
                self._begin(self._which + 1, self._next)
        return self._recent[position]

    def _approach(self, position: int) -> None:
        """Go to the beginning of the pass of a position, if that is behind, or known to be passes ahead."""
        behind = position < self._next or self._process != os.getpid()  # a forked worker has no files of its own yet
        if self._length is None:
            if behind:
                self._begin(0, 0)
        elif behind or position // self._length != self._which:
            self._begin(position // self._length, position // self._length * self._length)


class Encoded:
    """The examples of one batch."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        self.lengths = np.array([len(example.first) for example in examples], np.int64)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]
