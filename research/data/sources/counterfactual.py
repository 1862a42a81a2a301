"""Another source with a twin of each text about the other group."""

from collections.abc import Iterator
from typing import Self

from research.data.cache import key
from research.data.groups import GENDER, GroupWords, Pairs
from research.data.sources.source import Record, Source, identity


class Counterfactual(Source):
    """The records of another source, each that names a group followed by its twin, whose label is the same.

    A text and its twin are held out together. For a task the view :class:`research.data.augment.GroupSwapped` does it
    without longer epochs; the objectives of a corpus have views of their own.

    Args:
        source: where the records come from.
        pairs: as for :class:`research.data.groups.GroupWords`; the default is words of women and men.
    """

    def __init__(self, source: Source, pairs: Pairs | None = None) -> None:
        self.source, self.words = source, GroupWords(pairs or GENDER)

    def __iter__(self) -> Iterator[Record]:
        for record in self.source:
            yield record
            twin = record.copy()
            for field in ("text", "text_pair", "target"):
                if field in twin:
                    twin[field] = self.words.swapped(twin[field])
            if twin != record:
                twin["origin"] = identity(record)
                yield twin

    def parts(self) -> list[Self]:
        return [type(self)(part, self.words.pairs) for part in self.source.parts()]

    def size(self) -> int:
        return self.source.size()

    def fingerprint(self) -> str:
        return key("Counterfactual", self.source.fingerprint(), self.words.pairs)
