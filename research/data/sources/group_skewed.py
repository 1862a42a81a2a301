"""Another source with a bias of known size, to see what a remedy takes away of it."""

from collections.abc import Iterator

import xxhash

from research.data.cache import key
from research.data.groups import GENDER, GroupWords, Pairs
from research.data.sources.source import Record, Source
from research.errors import UserError


class GroupSkewed(Source):
    """The records of another source, those that name a group rewritten so that the group goes with the label.

    Of the texts with the label ``first`` the share ``share`` is in the words of the first group and the rest in those
    of the second; of all others the other way round. Which are which is decided by the hash of the text.

    Args:
        source: of texts with one label each.
        first: the label that goes with the first group.
        share: in [0.5, 1]; 0.5 is no bias.
        pairs: as for :class:`research.data.groups.GroupWords`; the default is words of women and men.
    """

    def __init__(self, source: Source, first: str, share: float = 0.9, pairs: Pairs | None = None) -> None:
        if not 0.5 <= share <= 1:
            raise UserError(f"share is {share}; it must lie in [0.5, 1]")
        self.source, self.first, self.share, self.words = source, first, share, GroupWords(pairs or GENDER)

    def __iter__(self) -> Iterator[Record]:
        for record in self.source:
            rare = xxhash.xxh64_intdigest(record["text"].encode()) / 2**64 >= self.share
            side = int((record.get("label") != self.first) != rare)
            yield {**record, "text": self.words.towards(record["text"], side)}

    def size(self) -> int:
        return self.source.size()

    def fingerprint(self) -> str:
        return key("GroupSkewed", self.source.fingerprint(), self.first, self.share, self.words.pairs)
