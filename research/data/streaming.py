"""A corpus that is larger than the disk: its training texts are read and tokenised while they are trained on."""

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from research.data.batch import Batch
from research.data.cache import key
from research.data.corpus import CorpusDataModule
from research.data.sources import Source
from research.data.sources.source import Record
from research.data.stream import Stream
from research.data.text_stream import TextStream
from research.data.texts import Kept, Place, Texts
from research.data.tokenised import chunks, encode, record_hashes, share
from research.errors import UserError
from research.ranks import of_each_rank

SAMPLE = 200  # texts by which characters are reckoned in tokens
MINIMUM = 10  # characters of a piece
FILL = 0.8  # of its room that a piece of text is meant to take; few pieces then need a second row


class StreamedCorpusDataModule(CorpusDataModule):
    """Unlabelled text of which only what is held out is kept on the disk.

    Texts are cut by characters, as many as are reckoned to fit, so a batch now and then has some more rows than
    ``batch_size``. The next pieces are read while the last ones are trained on. A run that goes on enters the files
    where it stopped: Parquet at a row group, other files at their beginning, so let those be many. The length of a pass
    is not known, so an epoch of the mixture has to have a number of steps, or ends with the run.

    Args:
        source: as for every stream, like the settings not named here.
        held_out: texts at most in a validation or test split that is a share of the source. Other texts of the share
            are not trained on either.
        buffer: pieces of text that are shuffled among each other; twice as many are in memory.
        lanes: readings of the text side by side, each of files of its own, that fill a row of each batch in turn. A
            process reads those of its rows alone where this is a multiple of the number of processes; each of its
            loader workers reads them all and tokenises its own batches. No more than there are files.
    """

    def __init__(
        self,
        source: Source,
        validation: float | Source = 0.01,
        test: float | Source = 0.0,
        split_seed: int = 0,
        batch_size: int = 16,
        max_length: int | None = None,
        held_out: int = 1000,
        buffer: int = 10_000,
        lanes: int = 1,
    ) -> None:
        super().__init__(source, validation, test, split_seed, batch_size, max_length)
        for name, value in {"held_out": held_out, "buffer": buffer, "lanes": lanes}.items():
            if value < 1:
                raise UserError(f"data.streams: {name} is {value}; it must be at least 1")
        self.most, self.buffer, self.lanes = held_out, buffer, lanes
        self.places = dict[int, Place]()  # where training stands, by lane
        self.parts: int | None = None  # of the source, once they are known
        self.forbidden = np.zeros(0, np.uint64)  # hashes of what any stream holds out

    def split(self) -> None:
        for split, source in self._sources().items():
            table = self._table(source)
            self.rows[split] = table, np.arange(len(table))

    def drop(self, held_out: dict[str, np.ndarray]) -> None:
        super().drop(held_out)
        self.forbidden = np.unique(np.concatenate([np.zeros(0, np.uint64), *held_out.values()]))

    def stream(self, split: str) -> Stream:
        if split != "train":
            return super().stream(split)
        student, seed = self.to.student, self.to.seed
        room = self.room - student.family.overhead(pair=False)
        shares = sum(part for part in (self.validation, self.test) if not isinstance(part, Source))
        kept = Kept(shares, self.split_seed, self.forbidden)
        order = [seed, zlib.crc32(self.to.name.encode())]
        texts = Texts(self.source, kept, self.room, self.buffer, self.batch_size, order, self.lanes)
        if self.parts not in (None, len(texts.parts)):
            told = f"has {len(texts.parts)} files, and {self.parts} when the run was saved"
            raise UserError(f"{self.key('source')}: {told}; a run goes on with the files that it began with")
        self.parts = len(texts.parts)
        sample = texts.sample(SAMPLE)
        if not sample:
            raise UserError(f"{self.key('source')}: no training text is left beside what is held out")
        tokens = sum(map(len, encode(student.tokenizer, sample)))
        texts.size = max(int(FILL * room * sum(map(len, sample)) / max(tokens, 1)), MINIMUM)
        return TextStream(
            texts,
            student.tokenizer,
            room,
            self.places,
            name=self.to.name,
            views=self.to.views,
            family=student.family,
            vocabulary=student.vocabulary,
            seed=seed,
            types=student.has_types,
        )

    def trained_on(self, batch: Batch) -> None:
        self.places |= batch.read

    def state_dict(self) -> dict[str, Any]:
        """The latest place of each lane that any process knows of; all of them have to ask."""
        found = [(lane, place) for places in of_each_rank(self.places) for lane, place in places.items()]
        return {"parts": self.parts, "places": {lane: list(place) for lane, place in sorted(found)}} if found else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.parts = state["parts"]
        self.places = {lane: Place(*place) for lane, place in state["places"].items()}

    def amount(self) -> str:
        return "streamed texts"

    def fingerprint(self) -> dict[str, str]:
        return {"train": self.source.fingerprint(), **super().fingerprint()}

    def _sources(self) -> dict[str, Source]:
        found, start = dict[str, Source](), 0.0
        for split, part in {"validation": self.validation, "test": self.test}.items():
            if isinstance(part, Source):
                found[split] = part
            elif part:
                found[split] = HeldOut(self.source, start, start + part, self.split_seed, self.most)
                start += part
        return found


class HeldOut(Source):
    """The first ``most`` records of a source whose hashes fall into a share of it."""

    def __init__(self, source: Source, start: float, stop: float, seed: int, most: int) -> None:
        self.source, self.start, self.stop, self.seed, self.most = source, start, stop, seed, most

    def __iter__(self) -> Iterator[Record]:
        return islice(self._all(), self.most)

    def fingerprint(self) -> str:
        return key("HeldOut", self.source.fingerprint(), self.start, self.stop, self.seed, self.most)

    def _all(self) -> Iterator[Record]:
        for chunk in chunks(self.source):
            place = share(record_hashes(chunk), self.seed)
            yield from (chunk[i] for i in np.flatnonzero((place >= self.start) & (place < self.stop)))
