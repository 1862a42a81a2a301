"""A bounded part of a source, that streams over it hold out first."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from research.data.cache import key
from research.data.sources.source import Record, Source
from research.errors import UserError


class Sample(Source):
    """At most ``count`` records of another source, in its order.

    They are chosen by the hash of their text as a stream chooses its validation split: while they are fewer than that
    split, a stream over the same source with the same ``split_seed`` trains on none of them. The source is read whole,
    and once.

    Args:
        source: where the records come from.
        count: how many to keep, at least 1.
        split_seed: as for the streams.
    """

    def __init__(self, source: Source, count: int, split_seed: int = 0) -> None:
        if count < 1:
            raise UserError(f"count is {count}; it must be at least 1")
        self.source, self.count, self.split_seed = source, count, split_seed

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept[0])

    def hashes(self) -> np.ndarray:
        """The text hash (n,) uint64 of each record."""
        return self._kept[1]

    def fingerprint(self) -> str:
        return key("Sample", self.source.fingerprint(), self.count, self.split_seed)

    @cached_property
    def _kept(self) -> tuple[list[Record], np.ndarray]:
        from research.data.tokenised import record_hashes, share

        records = list(self.source)
        hashes = record_hashes(records)
        chosen = np.sort(np.argsort(share(hashes, self.split_seed), kind="stable")[: self.count])
        return [records[i] for i in chosen], hashes[chosen]
