"""E2E (Novikova et al. 2017, arXiv:1706.09254): facts of a place and a sentence that a person wrote from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from research.applications.writing.facts import OPEN, Facts, in_words, parsed, unnamed
from research.data.sources.delimited import CSV
from research.data.sources.source import Record, identity
from research.data.tokenised import share, text_hash
from research.errors import UserError


class Places(CSV):
    """Facts with their sentence as the target, or the sentence alone as an unlabelled text.

    A record is placed by the hash of its facts without names, so all sentences of the same facts fall into one share,
    with or without their facts.

    Args:
        paths: CSV files with the columns ``mr`` and ``ref``.
        sentences: yield the sentences alone; names are then found by the values that the file has anywhere.
        shares: from where to where in [0, 1] the places of the records lie that are kept.
        max_bad: as for all files.
    """

    def __init__(
        self,
        paths: str | list[str],
        sentences: bool = False,
        shares: tuple[float, float] = (0.0, 1.0),
        max_bad: int = 0,
    ) -> None:
        super().__init__(paths, text="mr", target="ref", max_bad=max_bad)
        self.sentences, self.shares = sentences, shares
        if not 0 <= shares[0] < shares[1] <= 1:
            raise UserError(f"shares is {list(shares)}; give two numbers in [0, 1], the smaller first")

    def read(self, path: Path) -> Iterator[Record]:
        values: dict[str, set[str]] = {slot: set() for slot in OPEN}
        if self.sentences:
            for facts, _ in self.parsed(path):
                for slot in OPEN.keys() & facts.keys():
                    values[slot].add(facts[slot])
        for facts, row in self.places(path):
            words = in_words(facts)
            if self.sentences:
                origin = identity({"text": words, "where": row["where"]})
                yield {"text": unnamed(row["target"], values), "origin": origin, "where": row["where"]}
            else:
                own = {slot: [facts[slot]] for slot in OPEN if slot in facts}
                yield {"text": words, "target": unnamed(row["target"], own), "where": row["where"]}

    def places(self, path: Path) -> Iterator[tuple[Facts, Record]]:
        """The facts of each record of a file that lies in the shares, and the record as it stands there."""
        low, high = self.shares
        for facts, row in self.parsed(path):
            place = float(share(np.array([text_hash(in_words(facts))], np.uint64), 0)[0])
            if low <= place < high:
                yield facts, row
            else:
                self.skip("sentences of facts in other shares")

    def parsed(self, path: Path) -> Iterator[tuple[Facts, Record]]:
        """The facts of each record of a file, and the record."""
        for row in super().read(path):
            try:
                yield parsed(row["text"], row["where"]), row
            except UserError as error:
                self.bad(error)
