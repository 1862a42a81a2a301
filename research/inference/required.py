"""What a text has to say, put through while it is written."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Lacking = Callable[[str], Sequence[str]]  # the clauses that a text still has to say


def containing(phrases: Sequence[str]) -> Lacking:
    """Every phrase, in small letters or capitals, in any order."""
    return lambda text: [phrase for phrase in phrases if phrase.casefold() not in text.casefold()]


class Required:
    """A logits processor of Transformers that lets no text end before it has said all that it must.

    While something is lacking the end is forbidden. Where it would have been the likeliest, or what is lacking needs
    the room that is left, the first lacking clause is written, whole.

    Args:
        lacking: for each of N sources, the clauses that a text of it still lacks; a written clause lacks no more.
        tokenizer: of the student.
        first: the column where the writing begins, as :func:`research.inference.repetition.first_written` has it.
        end: the token that ends a text.
        room: how many tokens may be written.

    Raises:
        UserError: for clauses that do not fit into the room, or that the tokenizer cannot write.
    """

    def __init__(
        self, lacking: Sequence[Lacking], tokenizer: "PreTrainedTokenizerBase", first: int, end: int, room: int
    ) -> None:
        self.lacking, self.tokenizer, self.first, self.end, self.room = lacking, tokenizer, first, end, room
        self.ids: dict[str, list[int]] = {}
        self.begun: dict[tuple[int, ...], list[int]] = {}  # by what was written before it, a clause
        for number, lacks in enumerate(lacking, 1):
            if (need := self._needed(lacks(""))) > room:
                raise UserError(f"text {number} must say what takes {need} tokens with its end; it may have {room}")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores (R, V) of the next token after ids (R, L), of R = N texts, or of equally many beams of each."""
        scores, likeliest = scores.clone(), scores.argmax(1).tolist()
        beams = len(scores) // len(self.lacking)
        for i, row in enumerate(input_ids[:, self.first :].tolist()):
            if self.end in row:
                continue
            token = self._going_on(row)
            if token is None and (clauses := self.lacking[i // beams](self._text(row))):
                scores[i, self.end] = -torch.inf
                if likeliest[i] == self.end or self.room - len(row) <= self._needed(clauses):
                    self.begun[tuple(row)] = self._ids(clauses[0])
                    token = self._ids(clauses[0])[0]
            if token is not None:
                kept = scores[i, token].clamp(min=torch.finfo(scores.dtype).min)
                scores[i] = -torch.inf
                scores[i, token] = kept
        return scores

    def _going_on(self, row: Sequence[int]) -> int | None:
        """What follows in a clause that was begun and is not written to its end."""
        for back in range(1, len(row) + 1):
            clause = self.begun.get(tuple(row[:-back]))
            if clause is not None:
                return clause[back] if back < len(clause) and row[-back:] == clause[:back] else None
        return None

    def _needed(self, clauses: Sequence[str]) -> int:
        """Tokens of the clauses and of the end."""
        return sum(len(self._ids(clause)) for clause in clauses) + 1

    def _ids(self, clause: str) -> list[int]:
        if clause not in self.ids:
            ids = self.tokenizer.encode(f" {clause}", add_special_tokens=False)
            if not clause.split() or self._text(ids).split() != clause.split():
                raise UserError(f"the student's tokenizer cannot write {clause!r}; it comes to {self._text(ids)!r}")
            self.ids[clause] = ids
        return self.ids[clause]

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
