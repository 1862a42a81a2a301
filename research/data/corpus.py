"""A corpus: unlabelled text in windows that the student can read."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
from torch import Tensor

from research.data.batch import Example
from research.data.curriculum import Curriculum
from research.data.sources import Source
from research.data.stream import Examples, StreamInfo
from research.data.stream_module import StreamDataModule
from research.data.tokenised import Column

DEFAULT_WINDOW = 512  # where neither the config nor the student limits the length


class Windows:
    """Each document cut into as few windows of nearly equal length as fit; no token is lost."""

    def __init__(self, table: pa.Table, rows: np.ndarray, room: int) -> None:
        self.column = Column(table, "first")
        lengths = self.column.lengths[rows]
        rows, lengths = rows[lengths > 0], lengths[lengths > 0]
        pieces = -(-lengths // room)
        self.row = np.repeat(rows, pieces)
        which = np.arange(len(self.row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        length, count = np.repeat(lengths, pieces), np.repeat(pieces, pieces)
        self.begin = which * length // count
        self.lengths = (which + 1) * length // count - self.begin
        self.last = which + 1 == count

    def __getitem__(self, index: int) -> Example:
        begin = self.begin[index]
        text = self.column[self.row[index]][begin : begin + self.lengths[index]].astype(np.int64)
        return Example(text, ends=bool(self.last[index]))


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


class CorpusDataModule(StreamDataModule):
    """Unlabelled text. Labels of the source are not read. Long documents become several windows.

    Args:
        source: as for every stream, like the settings not named here.
        pack: join documents by the end token into windows without padding, for language modelling.
    """

    def __init__(
        self,
        source: Source,
        validation: float | Source = 0.1,
        test: float | Source = 0.0,
        split_seed: int = 0,
        batch_size: int = 16,
        max_length: int | None = None,
        curriculum: Curriculum | None = None,
        pack: bool = False,
    ) -> None:
        super().__init__(source, validation, test, split_seed, batch_size, max_length, curriculum)
        self.pack = pack

    @property
    def info(self) -> StreamInfo:
        return StreamInfo("unlabelled")

    def where(self, split: str, index: int) -> str:
        examples = self.examples(split)[0]
        assert isinstance(examples, Windows | Packed)
        return self.rows[split][0]["where"][int(examples.row[index])].as_py()

    @lru_cache(maxsize=3)  # noqa: B019  lives as long as the run
    def examples(self, split: str) -> tuple[Examples, Tensor | None]:
        table, rows = self.rows[split]
        student = self.to.student
        room = (self.limit or DEFAULT_WINDOW) - student.family.overhead(pair=False)
        if self.pack:
            return Packed(table, rows, room, student.vocabulary.end), None
        return Windows(table, rows, room), None
