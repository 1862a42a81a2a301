"""Banking77 by a seed: the intents that the desk knows, and messages that are none of its business."""

import csv
import io
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path

from research.data.sources import CSV, LabelledLines, Reddit, Source
from research.files import write_whole

BANKING = "data/banking77"
FIRST = 1000  # records of a set that texts are drawn from
FAR = {
    "trec": lambda: LabelledLines("data/trec/test.all", encoding="latin-1"),
    "sst2": lambda: CSV("data/sst2/test.tsv", text=0, label=1, delimiter="\t", header=False, quoting=False),
    "reddit": lambda: Reddit("data/reddit/comments.ndjson.zst"),
}

Messages = list[tuple[str, str]]
"""Texts with their intents."""


@dataclass(frozen=True)
class Split:
    """Which intents are known, and which are held out wholly: to choose by, or to test.

    Args:
        seed: decides which.
        tested: how many intents to test the refusal with.
        development: how many others to choose it by.
        outsiders: how many of their messages.
    """

    seed: int
    tested: int
    development: int
    outsiders: int

    @cached_property
    def intents(self) -> list[str]:
        """All of them, in the order of the draw."""
        names = sorted({intent for _, intent in messages("train")})
        random.Random(self.seed).shuffle(names)
        return names

    @property
    def known(self) -> list[str]:
        return sorted(self.intents[self.tested + self.development :])

    def inside(self, split: str) -> Messages:
        """The messages of the known intents in ``train`` or ``test``."""
        known = set(self.known)
        return [(text, intent) for text, intent in messages(split) if intent in known]

    def outside(self) -> Messages:
        """Messages to choose by: some of the development intents, from the training file."""
        chosen = set(self.intents[self.tested : self.tested + self.development])
        every = [(text, intent) for text, intent in messages("train") if intent in chosen]
        return random.Random(self.seed).sample(every, min(self.outsiders, len(every)))

    def near(self) -> Messages:
        """The messages to test with, about the same bank: of the tested intents, from the test file."""
        chosen = set(self.intents[: self.tested])
        return [(text, intent) for text, intent in messages("test") if intent in chosen]

    def write(self, folder: Path) -> None:
        """The files that fits read, ``train.csv`` and ``words.csv`` with a sentence that names each intent, and those
        that ``calibrate`` reads, ``development.csv``."""
        write_csv(folder / "train.csv", self.inside("train"))
        write_csv(folder / "words.csv", [(f"It is {spoken(intent)}.", intent) for intent in self.known])
        write_csv(folder / "development.csv", self.outside())


@cache
def messages(split: str) -> Messages:
    """A split of Banking77: each message with the name of its intent."""
    return [(r["text"], str(r["label"])) for r in CSV(f"{BANKING}/{split}.csv", text="text", label="category")]


@cache
def far(name: str, count: int) -> list[str]:
    """So many texts, drawn once from the first of a set that has nothing to do with banks."""
    source: Source = FAR[name]()
    texts = sorted({record["text"] for record in islice(source, FIRST)})
    return random.Random(0).sample(texts, min(count, len(texts)))


def spoken(intent: str) -> str:
    """An intent's name as words."""
    return intent.replace("_", " ").strip("?").lower()


def write_csv(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([("text", "category"), *rows])
    write_whole(path, file.getvalue())
