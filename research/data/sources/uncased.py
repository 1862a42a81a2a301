"""Another source without its capitals."""

from collections.abc import Iterator
from typing import Self

from research.data.cache import key
from research.data.sources.source import Record, Source


class Uncased(Source):
    """The records of another source with their texts in lower case, labels as they were.

    Two figures of a cased model, with and without it, say how much of an ability rests on case; for an uncased model
    they are equal.

    Args:
        source: where the records come from.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Record]:
        for record in self.source:
            lower = record.copy()
            for field in ("text", "text_pair", "target", "origin"):
                if field in lower:
                    lower[field] = lower[field].lower()
            yield lower

    def parts(self) -> list[Self]:
        return [type(self)(part) for part in self.source.parts()]

    def size(self) -> int:
        return self.source.size()

    def fingerprint(self) -> str:
        return key("Uncased", self.source.fingerprint())
