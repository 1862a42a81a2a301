"""Triplets for contrastive learning from labelled pairs, as natural language inference has them."""

from collections import defaultdict
from collections.abc import Iterator

from research.data.cache import key
from research.data.sources.source import Record, Source
from research.errors import UserError


class Triplets(Source):
    """For each text that has a pair of both labels a record: the text, its positive, and a hard negative as target.

    So SimCSE reads natural language inference (Gao et al. 2021): entailment gives the positive, contradiction the
    negative. A text of several such pairs becomes several triplets, which no pair serves twice and which are held
    out together. For a task of problem ``pair``.

    Args:
        source: pairs with labels.
        positive: the label of pairs that belong together.
        negative: the label of pairs that do not, though they are alike.
    """

    def __init__(self, source: Source, positive: str = "entailment", negative: str = "contradiction") -> None:
        if positive == negative:
            raise UserError(f"positive and negative are both '{positive}'; name two labels")
        self.source, self.positive, self.negative = source, positive, negative

    def __iter__(self) -> Iterator[Record]:
        waiting: dict[tuple[str, object], list[str]] = defaultdict(list)
        for record in self.source:
            label = record.get("label")
            if label not in (self.positive, self.negative):
                continue
            if "text_pair" not in record:
                raise UserError(f"{record['where']}: the record is no pair; name the column of text_pair in the source")
            text, other = record["text"], record["text_pair"]
            partners = waiting[text, self.negative if label == self.positive else self.positive]
            if not partners:
                waiting[text, label].append(other)
                continue
            partner = partners.pop(0)
            near, far = (other, partner) if label == self.positive else (partner, other)
            yield {"text": text, "text_pair": near, "target": far, "origin": text, "where": record["where"]}

    def fingerprint(self) -> str:
        return key("Triplets", self.source.fingerprint(), self.positive, self.negative)
