"""Tokenise a source once, into a memory-mapped table keyed by content, tokenizer and settings."""

import hashlib
import itertools
import json
import multiprocessing
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from research.data.cache import cached_table, key
from research.data.sources import Source
from research.data.sources.source import Record, identity
from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS, CHARACTERS = 10_000, 2_000_000  # of a batch, at most
SLICE = 500  # texts given to the library at once: more of them leave the processor's caches
GROUP_BYTES = 32_000_000  # of the data as they are stored; less is not worth a process
FORMAT = 2  # raise it when the table's meaning changes

FIELDS = ("text", "text_pair", "target")
IDS = pa.list_(pa.int32())
SCHEMA = pa.schema(
    [
        ("first", IDS),
        ("second", IDS),
        ("target", IDS),
        ("label", pa.string()),  # JSON, so that texts, numbers and lists keep their type
        ("where", pa.string()),
        ("hash", pa.uint64()),
    ]
)


def tokenizer_fingerprint(tokenizer: "PreTrainedTokenizerBase") -> str:
    """A digest of everything that decides how text becomes ids."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # published ones may come with both; :func:`encode` turns them off
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def record_hash(record: Record) -> int:
    """The :func:`text_hash` of a record's text or pair."""
    return text_hash(identity(record))


def record_hashes(records: Sequence[Record]) -> np.ndarray:
    """:func:`record_hash` of n records: (n,) uint64."""
    return np.array([record_hash(record) for record in records], np.uint64)


def text_hash(text: str) -> int:
    """64 bits of a text without regard to case and white space: equal texts fall into the same split."""
    return xxhash.xxh3_64_intdigest(" ".join(text.lower().split()).encode())


def tokenised(source: Source, tokenizer: "PreTrainedTokenizerBase", folder: Path) -> pa.Table:
    """The table of a source's records, from the cache or made now.

    Raises:
        UserError: if the source has no records, or cannot be read.
    """
    known = key("tokens", FORMAT, GROUP_BYTES, source.fingerprint(), tokenizer_fingerprint(tokenizer))
    table = cached_table(folder / known, lambda: [Group(part, tokenizer) for part in groups(source)], SCHEMA)
    if len(table) == 0:
        raise UserError(f"{type(source).__name__}: the source holds no text")
    return table


def groups(source: Source) -> list[list[Source]]:
    """The parts of a source in their order, neighbours together until they are worth a process."""
    parts = source.parts()
    sizes = [part.size() for part in parts] if len(parts) > 1 else [0]
    group = np.cumsum([0, *sizes[:-1]]) // GROUP_BYTES
    return [[part for _, part in g] for _, g in itertools.groupby(zip(group, parts, strict=True), lambda pair: pair[0])]


def chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records of a batch: ``ROWS`` of them, or fewer that come to ``CHARACTERS``."""
    chunk, size = list[Record](), 0
    for record in records:
        chunk.append(record)
        size += len(record["text"])
        if len(chunk) == ROWS or size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@dataclass
class Group:
    """Tokenises the records of some sources, from a row on."""

    sources: Sequence[Source]
    tokenizer: "PreTrainedTokenizerBase"

    def __call__(self, row: int) -> Iterator[pa.RecordBatch]:
        records = itertools.islice(itertools.chain.from_iterable(self.sources), row, None)
        for chunk in chunks(records):
            yield self._batch(chunk)

    def _batch(self, chunk: Sequence[Record]) -> pa.RecordBatch:
        columns = [
            *(pa.array(self._ids([record.get(field) for record in chunk]), IDS) for field in FIELDS),
            pa.array([None if r.get("label") is None else json.dumps(r["label"]) for r in chunk], pa.string()),
            pa.array([r["where"] for r in chunk], pa.string()),
            pa.array(record_hashes(chunk)),
        ]
        return pa.record_batch(columns, schema=SCHEMA)

    def _ids(self, texts: Sequence[Any]) -> list[list[int] | None]:
        rows = iter(encode(self.tokenizer, [text for text in texts if text is not None]))
        return [None if text is None else next(rows) for text in texts]


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """The ids of whole texts without special tokens: ``tokenizer(texts, add_special_tokens=False)``, but faster."""
    if multiprocessing.parent_process() is not None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a forked process has none of the library's threads
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    slices = (list(texts[i : i + SLICE]) for i in range(0, len(texts), SLICE))
    return [e.ids for few in slices for e in backend.encode_batch_fast(few, add_special_tokens=False)]


def share(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each text hash (n,) uint64, another one for each seed (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        z = hashes.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z.astype(np.float64) / 2.0**64


class Column:
    """A column of token lists by row, read where it lies: the tokens of a memory-mapped table take no memory.

    ``lengths`` (n,) int64 counts the tokens of each row, 0 where it has none.
    """

    def __init__(self, table: pa.Table, name: str) -> None:
        chunks = [chunk for chunk in table[name].chunks if len(chunk)]
        self.values = [chunk.values.to_numpy() for chunk in chunks]
        self.offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        self.begins = list(itertools.accumulate((len(chunk) for chunk in chunks), initial=0))  # rows before each chunk
        lengths = [np.diff(offsets) for offsets in self.offsets]
        self.lengths = np.concatenate([*lengths, np.zeros(0, np.int64)]).astype(np.int64)
        self.present = table[name].null_count < len(table)

    def __getitem__(self, row: int) -> np.ndarray:
        chunk = bisect_right(self.begins, row) - 1
        at, offsets = row - self.begins[chunk], self.offsets[chunk]
        return self.values[chunk][offsets[at] : offsets[at + 1]]
