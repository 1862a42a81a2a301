"""Batches of texts that are read and tokenised when they are asked for."""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from research.data.ahead import ahead
from research.data.batch import Batch, Example, same_inputs
from research.data.sampling import ENDLESS, HOLE
from research.data.stream import Stream
from research.data.texts import Piece, Place, Pool, Texts
from research.data.tokenised import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Reading:
    """The batches of one lane by number, read on from pool to pool.

    Asked for rising numbers it reads everything once. It enters at the last place it knows of before a number, such as
    one from a checkpoint.
    """

    def __init__(self, texts: Texts, lane: int, known: Place) -> None:
        self.texts, self.lane, self.known = texts, lane, sorted({Place(), known})
        self._pools = deque[Pool](maxlen=2)  # a loader asks anew for what it had fetched ahead when an epoch ended
        self._next, self._process = 0, 0

    def __getstate__(self) -> dict[str, Any]:
        """A worker reads for itself."""
        return {**vars(self), "_coming": None, "_process": 0}

    def __getitem__(self, batch: int) -> tuple[Place, list[Piece]]:
        while True:
            for pool in self._pools:
                if 0 <= batch - pool.place.batch < len(pool.batches):
                    return pool.place, pool.batches[batch - pool.place.batch]
            self._approach(batch)

    def _approach(self, batch: int) -> None:
        nearest = self.known[bisect_right(self.known, batch, key=lambda place: place.batch) - 1]
        forked = self._process != os.getpid()  # a thread and open files are the parent's
        if forked or batch < self._next or nearest.batch > self._next:
            self._coming: Iterator[Pool] = ahead(self.texts.pools(self.lane, nearest))
            self._next, self._process = nearest.batch, os.getpid()
        pool = next(self._coming)
        self._pools.append(pool)
        self._next = pool.place.batch + len(pool.batches)
        if pool.place > self.known[-1]:
            self.known.append(pool.place)


class Nothing:
    """No examples: what a text stream has are those of one batch at a time."""

    lengths = np.zeros(0, np.int64)

    def __getitem__(self, index: int) -> Example:
        raise IndexError(index)


class TextStream(Stream):
    """A stream that reads its texts on from where it stands, or from a place that it knows of before that.

    Which pieces of text a batch has does not depend on tokens, so what is passed over is read, but not tokenised. A
    process reads the lanes that have rows of its own in them.

    Args:
        texts: what to read.
        tokenizer: what makes ids of it.
        room: tokens of an example, special ones not included; a piece that has more becomes several.
        places: where the pool begins that a run goes on in, by lane.
        like: the stream's settings, as those of :class:`Stream` by name.
    """

    def __init__(
        self,
        texts: Texts,
        tokenizer: "PreTrainedTokenizerBase",
        room: int,
        places: Mapping[int, Place] | None = None,
        **like: Any,
    ) -> None:
        super().__init__(examples=Nothing(), labels=None, batch_size=texts.batch_size, shuffle=True, **like)
        self.texts, self.tokenizer, self.room = texts, tokenizer, room
        self.readings = [Reading(texts, lane, (places or {}).get(lane, Place())) for lane in range(texts.lanes)]

    def __len__(self) -> int:
        return ENDLESS

    @property
    def _rows(self) -> int:
        return ENDLESS

    def __getitem__(self, position: int) -> Batch | None:
        if position == HOLE:
            return None
        pieces, read = self._at(position)
        ids = encode(self.tokenizer, [piece.text for piece in pieces.values()])
        rows, places = [], []
        for (place, piece), row in zip(pieces.items(), ids, strict=True):
            parts = np.array_split(np.array(row, np.int64), -(-len(row) // self.room) or 1)
            rows += [[Example(part, ends=piece.last and part is parts[-1])] for part in parts if len(part)]
            places += [place + i * self.batch_size for i, part in enumerate(parts) if len(part)]
        if not rows and self.ranks == 1:
            return None
        if not rows:  # no text that has a token, and the other processes wait for this one
            rows, places = [[Example(np.zeros(0, np.int64))]], [self.rank]
        views = self.shown(rows, position, places)
        return Batch(views, shared=same_inputs(views), read=read)

    def _at(self, position: int) -> tuple[dict[int, Piece], dict[int, Place]]:
        """This process's pieces of a batch by row, and the places of the pools that they come from, by lane."""
        rows, read = dict[int, Piece](), dict[int, Place]()
        for lane, reading in enumerate(self.readings):
            if any(row % self.ranks == self.rank for row in self.texts.rows(lane)):
                read[lane], pieces = reading[position]
                rows |= zip(self.texts.rows(lane), pieces, strict=False)
        mine = {row: piece for row, piece in sorted(rows.items()) if row % self.ranks == self.rank}
        return mine or {self.rank: rows[sorted(rows)[self.rank % len(rows)]]}, read  # no process without a batch
