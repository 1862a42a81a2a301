"""A text inside a pattern with a gap, which one of a few words may fill (Schick & Schütze 2021, arXiv:2001.07676)."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from research.data.batch import Example, Row
from research.data.records import cut
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.student import Student

SLOT = re.compile(r"\s*\{(text|second|mask)\}")


@dataclass(frozen=True)
class Pattern(View):
    """``{text} It was {mask}.``, or for pairs ``{text}? {mask}, {second}``, and the words that may fill the gap.

    An encoder has its mask token in the gap, an encoder-decoder a sentinel, and a decoder, for which the gap comes
    last, predicts the next token. Texts are cut on the right where the whole would be longer than the student takes.
    Each word is one token, with a space before it where the pattern has one.
    """

    pattern: str
    words: tuple[str, ...]
    parts: tuple[tuple[np.ndarray, str], ...] = field(default=(), init=False, repr=False, compare=False)
    ids: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)
    room: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slots = SLOT.findall(self.pattern)
        if slots.count("text") != 1 or slots.count("mask") != 1 or slots.count("second") > 1:
            raise UserError(
                f"pattern is '{self.pattern}'; it needs {{text}} and {{mask}} once, for pairs also {{second}}"
            )

    def check(self, key: str, student: "Student", problem: str) -> None:
        family, vocabulary = student.family.name, student.vocabulary
        self.require(key, family != "encoder" or vocabulary.mask >= 0, "a tokenizer with a mask token")
        last = self.pattern.endswith("{mask}")
        self.require(key, family != "decoder" or last, "{mask} at the end of its pattern for a decoder")
        self.require(
            key, family != "encoder-decoder" or len(vocabulary.sentinels) > 0, "a tokenizer with T5's sentinels"
        )
        for word, ids in zip(self.words, self._of_words(student.tokenizer), strict=True):
            if len(ids) != 1 or ids[0] == student.tokenizer.unk_token_id:
                tokens = student.tokenizer.convert_ids_to_tokens(ids)
                raise UserError(f"{key}: word '{word}' is {tokens} to the tokenizer; give a word of one known token")

    def connect(self, student: "Student") -> None:
        encode = student.tokenizer
        ids = tuple(ids[0] for ids in self._of_words(encode))
        pieces = SLOT.split(self.pattern)  # a text, a slot, a text, ...
        texts = [np.array(encode(t, add_special_tokens=False)["input_ids"], dtype=np.int64) for t in pieces[::2]]
        if student.max_length is not None and sum(map(len, texts)) + 8 > student.max_length:
            raise UserError(
                f"pattern '{self.pattern}' leaves no room for the text: the student takes {student.max_length}"
            )
        parts = tuple(zip(texts, [*pieces[1::2], ""], strict=True))
        fixed = sum(map(len, texts)) + student.family.overhead(False) + 1
        room = None if student.max_length is None else student.max_length - fixed
        for name, value in {"parts": parts, "ids": ids, "room": room}.items():
            object.__setattr__(self, name, value)

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        if (example.second is None) == ("{second}" in self.pattern):
            wants = "one text" if example.second is not None else "pairs"
            raise UserError(f"pattern '{self.pattern}' is for {wants}, and the stream has the other kind")
        nothing = np.zeros(0, dtype=np.int64)
        first, second = cut(example.first, example.second, self.room)
        filled = {"text": first, "second": nothing if second is None else second, "": nothing}
        sides: list[list[np.ndarray]] = [[], []]
        side = 0
        for text, slot in self.parts:
            sides[side].append(text)
            if slot == "mask":
                side = 1
            else:
                sides[side].append(filled[slot])
        before, after = map(np.concatenate, sides)
        return family.cloze(before, after, vocabulary)

    def _of_words(self, tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
        space = " " if re.search(r"\s\{mask\}", self.pattern) else ""
        return tokenizer([space + word for word in self.words], add_special_tokens=False)["input_ids"]
