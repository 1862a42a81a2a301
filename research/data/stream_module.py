"""What corpora and tasks have in common: one source, split without a leak, tokenised once, batched."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from lightning import LightningDataModule
from torch import Tensor

from research.data.cache import default_folder
from research.data.curriculum import Curriculum, Lessons
from research.data.sources import Source
from research.data.stream import Examples, Stream, StreamInfo
from research.data.tokenised import share, tokenised, tokenizer_fingerprint
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from research.models.student import Student

log = logging.getLogger(__name__)


@dataclass
class Connection:
    """What a stream learns late: its name, the student that will read it, and the views that objectives want."""

    name: str
    student: "Student"
    views: Sequence[View]
    seed: int = 0
    cache: Path | None = None


class StreamDataModule(LightningDataModule):
    """One stream of the mixture.

    A share of the source is set apart by the hash of each text, so equal texts never fall into different splits, and
    streams over one source with equal shares and ``split_seed`` agree on what is held out.

    Args:
        source: where the records come from.
        validation: a share in [0, 1) of ``source``, or a source of its own.
        test: likewise.
        split_seed: which texts are held out.
        batch_size: examples a batch, of all processes together, which divide its rows among them.
        max_length: longest sequence in tokens, special ones included; the default is what the student takes.
        curriculum: which training examples come early; the default is any.
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
    ) -> None:
        super().__init__()
        self.source, self.validation, self.test, self.split_seed = source, validation, test, split_seed
        self.batch_size, self.max_length, self.curriculum = batch_size, max_length, curriculum
        shares = [part for part in (validation, test) if not isinstance(part, Source)]
        if min(shares, default=0) < 0 or sum(shares) >= 1:
            raise UserError(f"data.streams: validation {validation} and test {test} must be shares in [0, 1)")
        if batch_size < 1:
            raise UserError(f"data.streams: batch_size is {batch_size}; it must be at least 1")
        self.rows: dict[str, tuple[pa.Table, np.ndarray]] = {}
        self.left_out: dict[str, int] = {}  # by split, the texts that are held out elsewhere

    @property
    @abstractmethod
    def info(self) -> StreamInfo:
        """What objectives may ask; labels are known after :meth:`setup`."""

    @abstractmethod
    def examples(self, split: str) -> tuple[Examples, Tensor | None]:
        """The tokenised examples of a split and their labels."""

    def connect(self, connection: Connection) -> None:
        """Learn who reads the stream.

        Raises:
            UserError: if ``max_length`` is more than the student takes.
        """
        self.to = connection
        longest = connection.student.max_length
        if self.max_length is not None and longest is not None and self.max_length > longest:
            raise UserError(f"{self.key('max_length')} is {self.max_length}; the student takes {longest} tokens")
        self.limit = self.max_length or longest
        if self.limit is not None and self.limit < 8:
            raise UserError(f"{self.key('max_length')} is {self.limit}; it must be at least 8")

    def key(self, name: str) -> str:
        """A setting of this stream as the YAML knows it."""
        return f"data.streams.{self.to.name}.init_args.{name}"

    def prepare_data(self) -> None:
        for source in self._sources().values():
            self._table(source)

    def setup(self, stage: str | None = None) -> None:
        """Stand-alone use; the mixture takes these steps over all its streams at once."""
        if not self.rows:
            self.split()
            self.drop(self.held_out())
            self.settle()

    def split(self) -> None:
        """Part the rows of the tables into training, validation and test."""
        for split, source in self._sources().items():
            table = self._table(source)
            self.rows[split] = table, np.arange(len(table))
        table, every = self.rows["train"]
        place = share(table["hash"].to_numpy(), self.split_seed)
        start = 0.0
        for split, part in (("validation", self.validation), ("test", self.test)):
            if isinstance(part, Source):
                continue
            inside = (place >= start) & (place < start + part)
            self.rows[split] = table, np.flatnonzero(inside)
            start += part
        self.rows["train"] = table, every[place >= start]

    def held_out(self) -> dict[str, np.ndarray]:
        """Text hashes of what this stream holds out, by split."""
        return {split: self.hashes(split) for split in ("validation", "test") if split in self.rows}

    def drop(self, held_out: dict[str, np.ndarray]) -> None:
        """Take out of training what is held out anywhere, and out of validation what is tested on."""
        test = held_out.get("test", np.zeros(0, np.uint64))
        both = np.concatenate([test, held_out.get("validation", test)])
        for split, forbidden in (("train", both), ("validation", test)):
            if split not in self.rows:
                continue
            table, rows = self.rows[split]
            leaked = np.isin(self.hashes(split), forbidden)
            self.left_out[split] = int(leaked.sum())
            if leaked.any():
                log.info("%s: %d %s texts are held out elsewhere and left out", self.to.name, leaked.sum(), split)
                self.rows[split] = table, rows[~leaked]
        if "train" in self.rows and len(self.rows["train"][1]) == 0:
            raise UserError(f"{self.key('source')}: no training text is left beside what is held out")

    def settle(self) -> None:
        """Derive what depends on the training rows."""

    def hashes(self, split: str) -> np.ndarray:
        """Text hashes (n,) uint64 of a split."""
        table, rows = self.rows[split]
        return table["hash"].to_numpy()[rows]

    def where(self, split: str, index: int) -> str:
        """The place in the source, ``path:line``, of an example of a split."""
        table, rows = self.rows[split]
        return table["where"][int(rows[index])].as_py()

    def gold(self, split: str, index: int) -> Any:
        """What an example of a split should be answered with, as a plain value, or none."""
        return None

    def stream(self, split: str) -> Stream:
        """The batches of a split by position; training is shuffled."""
        examples, labels = self.examples(split)
        student = self.to.student
        return Stream(
            self.to.name,
            examples,
            labels,
            self.to.views,
            student.family,
            student.vocabulary,
            self.batch_size,
            self.to.seed,
            shuffle=split == "train",
            types=student.has_types,
        )

    def training(self) -> Stream:
        """The batches to train on: those of the training split, as the curriculum has them."""
        stream = self.stream("train")
        if self.curriculum is None:
            return stream
        difficulty = self.curriculum.difficulty(stream.examples.lengths, lambda index: self.where("train", index))
        return Lessons(stream, self.curriculum, difficulty)

    def amount(self) -> str:
        """How much there is to train on, in words."""
        return f"{len(self.rows['train'][1])} texts"

    def fingerprint(self) -> dict[str, str]:
        """Digests of what the stream was made from, for the run's record."""
        sources = {split: source.fingerprint() for split, source in self._sources().items()}
        return {**sources, "tokenizer": tokenizer_fingerprint(self.to.student.tokenizer)}

    def _sources(self) -> dict[str, Source]:
        parts = {"train": self.source, "validation": self.validation, "test": self.test}
        return {split: part for split, part in parts.items() if isinstance(part, Source)}

    def _table(self, source: Source) -> pa.Table:
        return tokenised(source, self.to.student.tokenizer, self.to.cache or default_folder() / "tokens")
