"""The texts of a source as batches of pieces, in an order that can be entered at many places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np

from research.data.sources import Source
from research.data.sources.source import Record
from research.data.stream import BUCKET
from research.data.tokenised import chunks, record_hashes, share


class Piece(NamedTuple):
    """Text that becomes one example; ``last`` is false where its document goes on."""

    text: str
    last: bool


class Place(NamedTuple):
    """Where a pool of a lane begins, in numbers alone: with its ``batch``, counted over all passes, at a ``piece`` of a
    ``record`` of a ``part`` of those that the lane has in a pass (``which``)."""

    batch: int = 0
    which: int = 0
    part: int = 0
    record: int = 0
    piece: int = 0


class Pool(NamedTuple):
    """Neighbouring batches of a lane, between which its pieces are shuffled."""

    place: Place
    batches: list[list[Piece]]


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

    In each pass the parts of the source (its files) come in another order and are dealt to the lanes, of which each
    fills its rows of all batches. A lane cuts its text into pieces, shuffles them in pools as they come, and puts
    neighbours in length into a batch, so that little of it is padding. A pool depends on its place alone.

    Args:
        source: where the texts come from.
        kept: which records to train on.
        size: characters of a piece, about; longer texts are cut.
        buffer: pieces of the pools of all lanes.
        batch_size: pieces a batch; the last ones of a pass may have fewer.
        seed: of the order.
        most_lanes: at most so many lanes, and no more than the source has parts or a batch has rows.
    """

    source: Source
    kept: Kept
    size: int
    buffer: int
    batch_size: int
    seed: Sequence[int]
    most_lanes: int = 1

    @cached_property
    def parts(self) -> list[Source]:
        return self.source.parts()

    @property
    def lanes(self) -> int:
        return min(self.most_lanes, len(self.parts), self.batch_size)

    def rows(self, lane: int) -> range:
        """The rows of a full batch that a lane fills."""
        return range(lane, self.batch_size, self.lanes)

    def pools(self, lane: int, place: Place) -> Iterator[Pool]:
        """The pools of a lane without end, from the one that begins at ``place``."""
        rows, window = len(self.rows(lane)), max(self.buffer // self.batch_size, 1)
        while True:
            pieces = self._pieces(lane, place)
            # Pools end together in all lanes where they can, so that a batch has rows of alike lengths from each.
            while held := list(islice(pieces, rows * (window - place.batch % window))):
                batches = self._batches([piece for piece, _ in held], lane, rows, place.batch, window)
                yield Pool(place, batches)
                place = held[-1][1]._replace(batch=place.batch + len(batches))
            place = Place(place.batch, place.which + 1)

    def sample(self, count: int) -> list[str]:
        """The first so many texts to train on, uncut."""
        texts = (record["text"] for record in self.source if self.kept([record])[0])
        return list(islice(texts, count))

    def _batches(self, pieces: list[Piece], lane: int, rows: int, first: int, window: int) -> list[list[Piece]]:
        rng = np.random.default_rng([*self.seed, lane, first, 1])
        pieces = [pieces[i] for i in rng.permutation(len(pieces))]
        count = -(-len(pieces) // rows)
        borders = [i * len(pieces) // count for i in range(count + 1)]
        which, at = divmod(first, window)
        rank = np.random.default_rng([*self.seed, which]).permutation(window)[at:]  # the same in all lanes
        batches: list[list[Piece]] = [[]] * count
        for start, end in pairwise([0, *range(BUCKET - at % BUCKET, count, BUCKET), count]):
            alike = iter(sorted(pieces[borders[start] : borders[end]], key=lambda piece: len(piece.text)))
            sizes = np.diff(borders[start : end + 1])
            for batch, size in zip(start + np.argsort(rank[start:end]), sizes, strict=True):
                batches[batch] = list(islice(alike, int(size)))
        return batches

    def _pieces(self, lane: int, place: Place) -> Iterator[tuple[Piece, Place]]:
        """What is left of a pass for a lane from a place on: each piece, and the place behind it."""
        order = np.random.default_rng([*self.seed, place.which, 2]).permutation(len(self.parts))[lane :: self.lanes]
        for part in range(place.part, len(order)):
            number = place.record if part == place.part else 0
            for chunk in chunks(self.parts[order[part]].after(number)):
                for record in map(int, np.flatnonzero(self.kept(chunk))):
                    texts = cut(chunk[record]["text"], self.size)
                    for i, text in enumerate(texts):
                        behind = Place(0, place.which, part, number + record, i + 1)
                        if behind[2:] > place[2:]:
                            yield Piece(text, i + 1 == len(texts)), behind
                number += len(chunk)


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
