"""Packing: several texts share a row of fixed room, so that hardly any of it is padding."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from research.data.batch import Example, Row
from research.data.tokenised import Column
from research.errors import UserError


def best_fit(lengths: np.ndarray, room: int) -> np.ndarray:
    """The row that each text goes into: the fullest one that still takes it, or a new one.

    Longest first, this is best-fit decreasing, of at most 11/9 of the fewest rows that can be (Johnson 1973), as "Fewer
    Truncations Improve Language Modeling" (Ding et al. 2024, arXiv:2404.10830) packs documents. The rows that are
    open are kept by the room left in them, so a text costs a search among at most ``room`` numbers.

    Args:
        lengths: (n,) tokens of each text, in [1, room], in the order in which they are placed.
        room: tokens of a row.

    Returns:
        (n,) rows, numbered from 0.
    """
    rows_with: list[list[int]] = [[] for _ in range(room + 1)]
    lefts: list[int] = []  # the rooms left that some open row has, rising
    placed, count = np.empty(len(lengths), np.int64), 0
    for i, length in enumerate(lengths.tolist()):
        at = bisect_left(lefts, length)
        if at == len(lefts):
            row, left, count = count, room, count + 1
        else:
            left = lefts[at]
            row = rows_with[left].pop()
            if not rows_with[left]:
                del lefts[at]
        placed[i] = row
        if left := left - length:
            if not rows_with[left]:
                insort(lefts, left)
            rows_with[left].append(row)
    return placed


class BestFit:
    """Examples in as few rows of ``room`` tokens as best-fit decreasing finds, anew in each pass.

    Texts of one length can stand for each other. So rows of the same lengths are filled with other texts in each pass,
    and every pass has as many of them.

    Args:
        lengths: (n,) tokens of each example in a row, special ones included, in [1, room].
        room: tokens of a row.
    """

    def __init__(self, lengths: np.ndarray, room: int) -> None:
        self.lengths = lengths
        placed = best_fit(-np.sort(-lengths), room)
        self._ranks = np.argsort(placed, kind="stable")  # row by row, the ranks in length of its examples
        self._ends = np.cumsum(np.bincount(placed)).tolist()

    def __len__(self) -> int:
        return len(self._ends)

    def rows(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The examples of each row, in an order without a meaning."""
        by_length = np.lexsort((rng.random(len(self.lengths)), -self.lengths))
        examples = by_length[self._ranks]
        rows = [examples[start:end] for start, end in pairwise([0, *self._ends])]
        return [rows[i] for i in rng.permutation(len(rows))]


def pack_rows(rows: Sequence[Row]) -> Row:
    """Lay examples without a second text one after the other.

    Raises:
        UserError: for rows that hide tokens from attention.
    """
    if rows[0].cut is not None:
        raise UserError("TokenCutoff cannot hide tokens of packed rows; take another view, or do without packing")

    def joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
        return np.concatenate([part for part in parts if part is not None]) if parts[0] is not None else None

    def numbered(parts: list[np.ndarray]) -> np.ndarray:
        return np.repeat(np.arange(1, len(parts) + 1), [len(part) for part in parts])

    decoder = [row.decoder_ids for row in rows if row.decoder_ids is not None]
    return Row(
        np.concatenate([row.ids for row in rows]),
        labels=joined([row.labels for row in rows]),
        decoder_ids=joined([row.decoder_ids for row in rows]),
        segments=numbered([row.ids for row in rows]),
        decoder_segments=numbered(decoder) if decoder else None,
    )


class Packed:
    """All documents, each closed by the end token, in one row that is cut every ``room`` tokens: no padding."""

    def __init__(self, table: pa.Table, rows: np.ndarray, room: int, end: int) -> None:
        self.column, self.rows, self.room, self.end = Column(table, "first"), rows, room, end
        self.ends = np.cumsum(self.column.lengths[rows] + 1)
        total = int(self.ends[-1]) if len(rows) else 0
        starts = np.arange(0, total, room)
        self.row = rows[np.searchsorted(self.ends, starts, side="right")]  # of the document that a window begins in
        self.lengths = np.diff(np.append(starts, total))

    def __getitem__(self, index: int) -> Example:
        start = index * self.room
        stop = start + self.lengths[index]
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        text = [part for d in range(first, last + 1) for part in (self.column[self.rows[d]], [self.end])]
        offset = start - (self.ends[first - 1] if first else 0)
        return Example(np.concatenate(text)[offset : offset + stop - start].astype(np.int64), ends=False)
