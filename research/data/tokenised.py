"""Tokenise a source once, into a memory-mapped table keyed by content, tokenizer and settings."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import xxhash

from research.data.cache import cached_table, key
from research.data.sources import Source
from research.data.sources.source import identity
from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = 1000  # records tokenised at once
FORMAT = 1  # raise it when the table's meaning changes

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
    backend.no_truncation()  # published ones may come with both; our calls turn them off, before or after this
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def text_hash(text: str) -> int:
    """64 bits of a text without regard to case and white space: equal texts fall into the same split."""
    return xxhash.xxh3_64_intdigest(" ".join(text.lower().split()).encode())


def tokenised(source: Source, tokenizer: "PreTrainedTokenizerBase", folder: Path) -> pa.Table:
    """The table of a source's records, from the cache or made now.

    Raises:
        UserError: if the source has no records, or cannot be read.
    """
    path = folder / f"{key('tokens', FORMAT, source.fingerprint(), tokenizer_fingerprint(tokenizer))}.arrow"
    table = cached_table(path, lambda: _batches(source, tokenizer), SCHEMA)
    if len(table) == 0:
        raise UserError(f"{type(source).__name__}: the source holds no text")
    return table


def _batches(source: Source, tokenizer: "PreTrainedTokenizerBase") -> Iterator[pa.RecordBatch]:
    records = iter(source)
    while chunk := list(itertools.islice(records, ROWS)):

        def ids(field: str, chunk: list = chunk) -> list:
            have = [i for i, r in enumerate(chunk) if r.get(field) is not None]
            out: list = [None] * len(chunk)
            if have:
                encoded = tokenizer([chunk[i][field] for i in have], add_special_tokens=False, verbose=False)
                for i, row in zip(have, encoded["input_ids"], strict=True):
                    out[i] = row
            return out

        yield pa.record_batch(
            [
                pa.array(ids("text"), IDS),
                pa.array(ids("text_pair"), IDS),
                pa.array(ids("target"), IDS),
                pa.array([None if r.get("label") is None else json.dumps(r["label"]) for r in chunk], pa.string()),
                pa.array([r["where"] for r in chunk], pa.string()),
                pa.array([text_hash(identity(r)) for r in chunk], pa.uint64()),
            ],
            schema=SCHEMA,
        )


def share(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each text hash (n,) uint64, another one for each seed (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        z = hashes.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z.astype(np.float64) / 2.0**64


class Column:
    """A column of token lists as one flat array and offsets, without a copy of a single-chunk table."""

    def __init__(self, table: pa.Table, name: str) -> None:
        chunks = [c for c in table[name].chunks if len(c)]
        flats = [c.flatten().to_numpy(zero_copy_only=False) for c in chunks]
        lengths = [np.diff(c.offsets.to_numpy()) * c.is_valid().to_numpy(zero_copy_only=False) for c in chunks]
        self.flat = flats[0] if len(flats) == 1 else np.concatenate([*flats, np.zeros(0, np.int32)])
        self.lengths = np.concatenate([*lengths, np.zeros(0, np.int64)]).astype(np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.present = table[name].null_count < len(table)

    def __getitem__(self, row: int) -> np.ndarray:
        start = self.starts[row]
        return self.flat[start : start + self.lengths[row]]
