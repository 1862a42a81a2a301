"""A corpus: unlabelled text in windows that the student can read."""

from typing import Literal

import numpy as np
import pyarrow as pa
from torch import Tensor

from research.data.batch import Example
from research.data.curriculum import Curriculum
from research.data.packing import BestFit, Packed
from research.data.sources import Source
from research.data.stream import Examples, Stream, StreamInfo
from research.data.stream_module import StreamDataModule
from research.data.tokenised import Column
from research.errors import UserError

DEFAULT_WINDOW = 512  # where neither the config nor the student limits the length


class Windows:
    """Each document cut into as few windows as fit, of nearly equal length or all full but the last; none is lost."""

    def __init__(self, table: pa.Table, rows: np.ndarray, room: int, even: bool = True) -> None:
        self.column = Column(table, "first")
        lengths = self.column.lengths[rows]
        rows, lengths = rows[lengths > 0], lengths[lengths > 0]
        pieces = -(-lengths // room)
        self.row = np.repeat(rows, pieces)
        which = np.arange(len(self.row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        length, count = np.repeat(lengths, pieces), np.repeat(pieces, pieces)
        borders = [w * length // count if even else np.minimum(w * room, length) for w in (which, which + 1)]
        self.begin, self.lengths = borders[0], borders[1] - borders[0]
        self.last = which + 1 == count

    def __getitem__(self, index: int) -> Example:
        begin = self.begin[index]
        text = self.column[self.row[index]][begin : begin + self.lengths[index]].astype(np.int64)
        return Example(text, ends=bool(self.last[index]))


class CorpusDataModule(StreamDataModule):
    """Unlabelled text. Labels of the source are not read. Long documents become several windows.

    Args:
        source: as for every stream, like the settings not named here.
        pack: ``best_fit`` puts several texts, whole or the rests of long ones, into a row of ``max_length`` where each
            is read on its own, so losses are those of padded rows; ``stream`` joins all by the end token and cuts, for
            language models that may read on from one document into the next. The default is a row a window.
        batch_size: rows a batch, packed ones too.
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
        pack: Literal["best_fit", "stream"] | None = None,
    ) -> None:
        super().__init__(source, validation, test, split_seed, batch_size, max_length, curriculum)
        if curriculum is not None and pack == "best_fit":
            raise UserError(
                "data.streams: a curriculum shows texts by their order; set pack to stream, or leave it out"
            )
        self.pack = pack
        self._windows: dict[str, Windows | Packed] = {}  # by split, made when first asked for

    @property
    def info(self) -> StreamInfo:
        return StreamInfo("unlabelled", packed=self.pack == "best_fit", max_length=self.max_length)

    def where(self, split: str, index: int) -> str:
        examples = self.examples(split)[0]
        assert isinstance(examples, Windows | Packed)
        return self.rows[split][0]["where"][int(examples.row[index])].as_py()

    def examples(self, split: str) -> tuple[Examples, Tensor | None]:
        if split not in self._windows:
            self._windows[split] = self._cut(split)
        return self._windows[split], None

    def _cut(self, split: str) -> "Windows | Packed":
        table, rows = self.rows[split]
        student = self.to.student
        room = self.room - student.family.overhead(pair=False)
        if self.pack == "stream":
            return Packed(table, rows, room, student.vocabulary.end)
        return Windows(table, rows, room, even=self.pack is None)

    def stream(self, split: str) -> Stream:
        part = super().stream(split)
        if self.pack == "best_fit":
            part.packing = BestFit(part.examples.lengths + self.to.student.family.overhead(pair=False), self.room)
        return part

    @property
    def room(self) -> int:
        """Tokens of the longest sequence, special ones included."""
        return self.limit or DEFAULT_WINDOW
