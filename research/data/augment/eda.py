"""Easy data augmentation (Wei & Zou 2019, arXiv:1901.11196)."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from research.data.augment.augmentation import Augmentation
from research.data.augment.neighbours import neighbours
from research.data.augment.words import Words, movable, words_of
from research.data.batch import Example, Row
from research.errors import UserError

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student


OPERATIONS = ("replace", "insert", "swap", "delete")


def swapped(words: Words, places: np.ndarray, count: int, rng: np.random.Generator) -> Words:
    """Two of the words at ``places`` change their places, ``count`` times."""
    out = list(words)
    for _ in range(count if len(places) > 1 else 0):
        i, j = rng.choice(places, 2, replace=False)
        out[i], out[j] = out[j], out[i]
    return out


def deleted(words: Words, places: np.ndarray, rate: float, rng: np.random.Generator) -> Words:
    """Each word at ``places`` falls out with probability ``rate``; one of them at least stays."""
    gone = places[rng.random(len(places)) < rate]
    if len(gone) == len(places) > 0:
        gone = np.delete(gone, rng.integers(len(gone)))
    return [word for i, word in enumerate(words) if i not in gone]


def synonym(word: np.ndarray, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the neighbours that ``table`` (V, k) has of a word of one token."""
    return rng.choice(table[word[0]], 1).astype(word.dtype)


def replaced(words: Words, places: np.ndarray, count: int, table: np.ndarray, rng: np.random.Generator) -> Words:
    """Synonyms stand for ``count`` of the words at ``places``."""
    out = list(words)
    for i in rng.permutation(places)[:count]:
        out[i] = synonym(words[i], table, rng)
    return out


def inserted(words: Words, places: np.ndarray, count: int, table: np.ndarray, rng: np.random.Generator) -> Words:
    """A synonym of one of the words at ``places`` comes in anywhere, ``count`` times."""
    out = list(words)
    for _ in range(count if len(places) else 0):
        out.insert(rng.integers(len(out) + 1), synonym(words[rng.choice(places)], table, rng))
    return out


@dataclass(frozen=True)
class EDA(Augmentation):
    """Of each text one operation, drawn with equal chances from those whose rate is not 0.

    With n words, ``replace``, ``insert`` and ``swap`` happen ``max(1, round(rate * n))`` times, and ``delete`` takes
    out each word with its probability; rates lie in [0, 1). The synonyms of a word are the ``neighbours`` nearest words
    in the student's input embedding before training, instead of WordNet's; only words of one token have them, and there
    is no list of stop words, so that all languages are treated alike. What would make the text longer than the student
    takes is not inserted. Special tokens are neither moved nor changed. Each text of a pair is changed on its own.
    Until :meth:`learn` has seen weights, as in an inspection of the data, words have no synonyms.
    """

    replace: float = 0.1
    insert: float = 0.1
    swap: float = 0.1
    delete: float = 0.1
    neighbours: int = 10
    table: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    limit: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rates = {name: getattr(self, name) for name in OPERATIONS}
        for name, rate in rates.items():
            if not 0 <= rate < 1:
                raise UserError(f"{name} is {rate}; it must lie in [0, 1)")
        if not any(rates.values()):
            raise UserError(f"{', '.join(OPERATIONS)}: all are 0; give one of them a rate above 0")
        if self.neighbours < 1:
            raise UserError(f"neighbours is {self.neighbours}; it must be at least 1")

    def learn(self, student: "Student", device: torch.device) -> None:
        model, vocabulary = student.model, student.vocabulary
        assert model is not None
        object.__setattr__(self, "limit", student.max_length)
        if not self.replace and not self.insert:
            return
        opening = torch.from_numpy(np.flatnonzero(~vocabulary.special & ~vocabulary.continues)).to(device)
        embeddings = model.get_input_embeddings().weight.detach().to(device)  # type: ignore[operator]
        table = torch.from_numpy(neighbours(embeddings, opening, min(self.neighbours, len(opening) - 1)))
        object.__setattr__(self, "table", table.share_memory_())  # so that it is no part of what workers send

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        room = None if self.limit is None else self.limit - len(family.frame(example, vocabulary).ids)
        first = self.change(example.first, vocabulary, rng, room)
        second = example.second
        if second is not None:
            room = None if room is None else room + len(example.first) - len(first)
            second = self.change(second, vocabulary, rng, room)
        return family.frame(dataclasses.replace(example, first=first, second=second), vocabulary)

    def change(
        self, ids: np.ndarray, vocabulary: "Vocabulary", rng: np.random.Generator, room: int | None = None
    ) -> np.ndarray:
        """One text, ids (L,), after one operation; it grows by ``room`` tokens at most."""
        words = words_of(ids, vocabulary)
        places = movable(words, vocabulary)
        if len(places) == 0:
            return ids
        operations = [name for name in OPERATIONS if getattr(self, name)]
        operation = operations[rng.integers(len(operations))]
        rate: float = getattr(self, operation)
        count = max(1, round(rate * len(places)))
        if operation == "swap":
            return np.concatenate(swapped(words, places, count, rng))
        if operation == "delete":
            return np.concatenate(deleted(words, places, rate, rng))
        table = np.full((vocabulary.size, 1), -1) if self.table is None else self.table.numpy()
        known = np.array([i for i in places if len(words[i]) == 1 and table[words[i][0], 0] >= 0], dtype=np.int64)
        if operation == "replace":
            return np.concatenate(replaced(words, known, count, table, rng))
        count = count if room is None else min(count, max(room, 0))
        return np.concatenate(inserted(words, known, count, table, rng))
