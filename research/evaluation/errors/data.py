"""The texts that a run was trained and tested on, from its ``config.yaml``."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from lightning import Trainer

from research.data.augment.words import words_of
from research.data.sources import Source
from research.data.stream_module import StreamDataModule
from research.data.tokenised import Column
from research.training_cli import TrainingCLI


class Streams(TrainingCLI):
    """The streams of a run, split as it split them; a tokenizer is loaded, and no weights."""

    def __init__(self, run: Path) -> None:
        super().__init__(["fit", "--config", str(run / "config.yaml")])

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        self.datamodule.connect(self.model, self.config.fit.seed_everything)
        return None  # type: ignore[return-value]  # nothing is trained

    def _run_subcommand(self, subcommand: str) -> None:
        self.datamodule.prepare_data()
        self.datamodule.setup()


@dataclass
class Texts:
    """``text`` of each training and test example by where it stands; of the test examples the ``length`` in tokens and
    the ``rarity``, mean :func:`surprisal` of their words.
    """

    text: dict[str, str]
    length: dict[str, int]
    rarity: dict[str, float]


def texts_of(module: StreamDataModule) -> Texts:
    """The texts of a stream that is set up."""
    table, rows = module.rows["test"]
    lengths = (Column(table, "first").lengths + Column(table, "second").lengths)[rows]
    known = Counter(word for words in _words(module, "train") for word in words)
    rarity = [surprisal(words, known) for words in _words(module, "test")]
    test = texts_of_split(module, "test")
    return Texts(
        {**texts_of_split(module, "train"), **test},
        dict(zip(test, lengths.tolist(), strict=True)),
        dict(zip(test, rarity, strict=True)),
    )


def surprisal(words: list[bytes], known: "Counter[bytes]") -> float:
    """Mean of ``-log2 (max(count, 1) / total)`` over the words of a text, 0 for a text of none."""
    counts = np.array([max(known[word], 1) for word in words])
    return float(np.mean(np.log2(known.total() / counts))) if words else 0.0


def _words(module: StreamDataModule, split: str) -> Iterator[list[bytes]]:
    """Of each example its words, by the tokenizer's idea of a word."""
    table, rows = module.rows[split]
    first, second, vocabulary = Column(table, "first"), Column(table, "second"), module.to.student.vocabulary
    for row in rows.tolist():
        parts = [first[row], second[row]] if second.present else [first[row]]
        yield [word.tobytes() for part in parts for word in words_of(part, vocabulary)]


def texts_of_split(module: StreamDataModule, split: str) -> dict[str, str]:
    """The texts of a split of a stream that is set up, by where they stand, pairs in one."""
    own = module.test if split == "test" else module.source  # a share, where the split is part of the training source
    sources = [own if isinstance(own, Source) else module.source]
    if split == "train" and (beside := getattr(module, "beside", None)):
        sources.append(beside)
    table, rows = module.rows[split]
    wanted = set(rows.tolist())
    texts = {
        row: " | ".join(filter(None, (record["text"], record.get("text_pair"))))
        for row, record in enumerate(chain.from_iterable(sources))  # row n of a table is the nth record
        if row in wanted
    }
    places = table["where"].take(pa.array(rows)).to_pylist()
    return {where: texts[row] for where, row in zip(places, rows.tolist(), strict=True)}
