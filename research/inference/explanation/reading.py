"""A text as a student reads it, and the characters that each of its tokens stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from research.data.batch import Batch, Example, pad_rows
from research.data.records import example
from research.errors import UserError
from research.inference.model import Model, Text
from research.step import Clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Piece(NamedTuple):
    """The characters ``[start, end)`` of a ``text`` or its ``text_pair``, in the word of that number of the two."""

    field: str
    start: int
    end: int
    word: int


@dataclass(frozen=True)
class Reading:
    """One text, or pair, of W words, cut as in training to a batch of one row of L tokens.

    ``pieces`` (L,) says what each token stands for: None for those that frame a text.
    """

    stream: str
    batch: Batch
    pieces: Sequence[Piece | None]

    @property
    def words(self) -> list[Piece]:
        """The W words, each from its first token to its last."""
        whole: dict[int, Piece] = {}
        for piece in self.pieces:
            if piece is not None:
                whole[piece.word] = whole.get(piece.word, piece)._replace(end=piece.end)
        return list(whole.values())

    def by_word(self, weights: np.ndarray) -> np.ndarray:
        """The sum (W,) of the weights (L,) of each word's tokens."""
        words = [piece.word for piece in self.pieces if piece is not None]
        own = [weight for weight, piece in zip(weights, self.pieces, strict=True) if piece is not None]
        return np.bincount(words, own)


def read(model: Model, text: Text, task: str | None = None) -> Reading:
    """Tokenise a text or a record of a pair for a task that tells classes or a value.

    Raises:
        UserError: for a text without a token, or a task whose classes are told from another view than the text itself.
    """
    stream = model.task(task, "classify", "multilabel", "regress")
    if list(model.views(stream)) != [Clean()]:
        raise UserError(f"task {stream}: it reads its texts within a pattern, which occlusion alone can explain")
    record = {"text": text} if isinstance(text, str) else text
    student = model.student
    ids, pieces = list[list[int]](), list[Piece]()
    for field in ("text", "text_pair"):
        if record.get(field) is not None:
            more, found = tokens_of(student.tokenizer, field, record[field], pieces[-1].word + 1 if pieces else 0)
            ids.append(more)
            pieces += found
    if not pieces:
        raise UserError(f"{record.get('where', 'text')}: no token of it is known")
    one = example(student, model.streams[stream], ids[0], ids[1] if len(ids) > 1 else None)
    row = student.family.frame(one, student.vocabulary)
    places = student.family.frame(numbered(one, len(ids[0])), student.vocabulary).ids
    view = pad_rows([row], student.vocabulary.pad, student.has_types)
    batch = Batch({Clean(): view}).to(next(student.parameters()).device)
    return Reading(stream, batch, [pieces[-1 - place] if place < 0 else None for place in places])


def tokens_of(tokenizer: "PreTrainedTokenizerBase", field: str, text: str, first: int) -> tuple[list[int], list[Piece]]:
    """The ids of a text's tokens and what they stand for, its words being numbered from ``first``."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    encoding = backend.encode(text, add_special_tokens=False)
    numbers = {word: first + i for i, word in enumerate(dict.fromkeys(encoding.word_ids))}
    pieces = [
        Piece(field, start, end, numbers[word])
        for (start, end), word in zip(encoding.offsets, encoding.word_ids, strict=True)
    ]
    return encoding.ids, pieces


def numbered(one: Example, first: int) -> Example:
    """The example with -1, -2, ... in the place of its tokens; those of the second text go on behind ``first``."""
    second = None if one.second is None else -1 - first - np.arange(len(one.second))
    return Example(-1 - np.arange(len(one.first)), second, ends=one.ends)
