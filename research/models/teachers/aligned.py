"""A live teacher with a tokenizer of its own: it reads the text of the student's tokens."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from research.data.batch import IGNORE, Example, Row, Tokens, pad_rows
from research.errors import UserError
from research.models.alignment import align, opens_with_space, respell, shared_tokens, spell
from research.models.heads import RowLoss, VocabularyHead
from research.models.student import Student
from research.models.teachers.live import LiveAnswer, LiveTeacher
from research.step import Encoded, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo

NOTHING = -1e4  # the logit of an outcome that cannot be


class Spans(NamedTuple):
    """G spans of text that both tokenise, by the positions that predict their first tokens and their last.

    Positions (G,) count those that carry a loss, in the student's rows and in the teacher's.
    """

    first: Tensor
    last: Tensor
    their_first: Tensor
    their_last: Tensor

    @property
    def single(self) -> Tensor:
        """(G,) bool: is the span one token on both sides?"""
        return (self.first == self.last) & (self.their_first == self.their_last)


class AlignedAnswer(LiveAnswer):
    """Compares next-token distributions where both have read the same text so far.

    Args:
        shared: the ids (2, C) of the tokens that both vocabularies have, the student's and the teacher's.
    """

    def __init__(self, model: Student, encoded: Encoded, spans: Callable[[], Spans], shared: Tensor) -> None:
        super().__init__(model, encoded)
        self._spans, self.shared = spans, shared

    @cached_property
    def spans(self) -> Spans:
        return self._spans()

    @property
    def encoded(self) -> Encoded:
        raise UserError("model.teacher: hidden states of an AlignedTeacher are of other tokens than the student's")

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        """Over the tokens that both vocabularies have and one more outcome, any other, at spans of a single token."""
        mine, theirs = self.shared

        def one(student: Tensor, teacher: Tensor) -> Tensor:
            return loss(outcomes(student, mine) / temperature, outcomes(teacher, theirs) / temperature)

        at = self.spans.single
        return at_rows(head, self.spans.first[at]).divergence(at_rows(self._head, self.spans.their_first[at]), one)

    def compare(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        """Mean over spans of ``loss(student's, teacher's log-probabilities of the first token)``, both at T.

        Args:
            head: the student's, at its positions that carry a loss.
            loss: of log-probabilities (m, V) and (m, V'), over two vocabularies, to (m,).
            temperature: T, above 0.
        """

        def one(student: Tensor, teacher: Tensor) -> Tensor:
            return loss((student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1))

        return at_rows(head, self.spans.first).divergence(at_rows(self._head, self.spans.their_first), one)

    def compare_merged(self, head: VocabularyHead, labels: Tensor, loss: RowLoss, temperature: float) -> Tensor:
        """:meth:`compare`, each distribution times the probability of the span's further tokens.

        What it says of the text itself is then the probability of the whole span, however it is cut into tokens.
        """
        spans = self.spans
        mine = continuation(head, labels, spans.first, spans.last, temperature)
        theirs_labels = self._encoded.at_labels()[1]
        theirs = continuation(self._head, theirs_labels, spans.their_first, spans.their_last, temperature)
        other = at_rows(self._head, spans.their_first)

        def one(student: Tensor, features: Tensor, mine: Tensor, theirs: Tensor) -> Tensor:
            teacher = torch.nn.functional.linear(features, other.weight, other.bias)
            logs = (student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1)
            return loss(logs[0] + mine[:, None], logs[1] + theirs[:, None])

        return at_rows(head, spans.first).mean(one, other.features, mine, theirs)

    @cached_property
    def _head(self) -> VocabularyHead:
        with torch.no_grad():
            return self.model.vocabulary_head(self._encoded.at_labels()[0])


class AlignedTeacher(LiveTeacher):
    """A frozen model of any tokenizer; its class logits serve every student, its next tokens a decoder's student.

    It reads the text that the student's tokenizer gives back of its tokens: byte-level ones lose nothing of it, those
    that fold case or know no rare characters what they lost. A text that is too long for it is cut.

    Args:
        backbone: as for :class:`research.models.teachers.live.LiveTeacher`, like the settings not named here.
    """

    @property
    def config(self) -> None:
        """None: its layers hold other tokens than the student's."""

    def check(self, student: Student, streams: "Mapping[str, StreamInfo]") -> None:
        """Refuses nothing of a tokenizer, and keeps the student's to read its tokens."""
        self.reader = student

    def fingerprint(self) -> str:
        """Its answers go by the student's tokens, and are not kept for others."""
        raise UserError("model.teacher: the answers of an AlignedTeacher cannot be cached; take a LiveTeacher")

    @cached_property
    def shared(self) -> np.ndarray:
        """The ids (2, C) of the tokens that both vocabularies have, and of the end."""
        ends = [[self.reader.vocabulary.end], [self.student.vocabulary.end]]
        return np.concatenate([shared_tokens(self.reader.tokenizer, self.tokenizer), ends], axis=1)

    @cached_property
    def open_alike(self) -> bool:
        """Is the first token of a text of the same kind in both? It is not compared otherwise."""
        return opens_with_space(self.reader.tokenizer) == opens_with_space(self.tokenizer)

    def encode(self, tokens: Tokens) -> Encoded:
        return super().encode(self._read(tokens)[0])

    def answer(self, stream: str, view: View, tokens: Tokens) -> AlignedAnswer:
        read, spans = self._read(tokens)
        shared = torch.from_numpy(self.shared).to(tokens.ids.device)
        return AlignedAnswer(self.student, super().encode(read), spans, shared)

    def _read(self, tokens: Tokens) -> tuple[Tokens, Callable[[], Spans]]:
        """The teacher's tokens, a row a document, and what finds the spans that they share with the student's."""
        documents = list(documents_of(tokens))
        readings = [self._reread(ids) for _, _, ids in documents]
        student, limit = self.student, self.student.max_length
        rows = [Row(reading.ids[:limit], second=reading.second) for reading in readings]
        decodes = student.family.name == "decoder"
        for row in rows if decodes else ():
            row.labels = np.append(row.ids[1:], IGNORE)

        def spans() -> Spans:
            if not decodes or tokens.labels is None or tokens.decoder_ids is not None:
                raise UserError("model.teacher: an AlignedTeacher compares the next tokens of two decoders alone")
            return self._spans(tokens, [(row, start) for row, start, _ in documents], readings, rows)

        return pad_rows(rows, student.vocabulary.pad, student.has_types).to(tokens.ids.device), spans

    def _spans(
        self, tokens: Tokens, places: list[tuple[int, int]], readings: "list[Reading]", rows: list[Row]
    ) -> Spans:
        assert tokens.labels is not None
        carries = (tokens.labels != IGNORE).cpu().numpy()
        rank = np.where(carries, np.cumsum(carries).reshape(carries.shape) - 1, -1)
        found, before = list[np.ndarray](), 0
        for (row, start), reading, read in zip(places, readings, rows, strict=True):
            runs = align(reading.ends, reading.their_ends)
            first, last = runs.first + start - 1, runs.last + start - 1  # columns of the positions that predict them
            their_first, their_last = (tokens - 1 + len(self.opening) for tokens in (runs.their_first, runs.their_last))
            known = (runs.first > 0) & (their_first >= 0) & (their_last < len(read.ids) - 1)
            known &= (rank[row, first] >= 0) & (rank[row, last] >= 0)
            mine = rank[row, first], rank[row, last]
            found.append(np.stack([*mine, their_first + before, their_last + before])[:, known])
            before += len(read.ids) - 1
        return Spans(*torch.from_numpy(np.concatenate(found, axis=1)).to(tokens.ids.device))

    @cached_property
    def opening(self) -> list[int]:
        """The begin token of a decoder that was trained with one."""
        begin, decodes = self.tokenizer.bos_token_id, self.student.family.name == "decoder"
        return [begin] if decodes and self.tokenizer("")["input_ids"][:1] == [begin] else []

    def _reread(self, ids: np.ndarray) -> "Reading":
        """A document of the student's in the teacher's tokens: its texts anew, its ends by its own end token."""
        mine, theirs = self.reader.vocabulary, self.student.vocabulary
        borders = np.flatnonzero((ids == mine.begin) | (ids == mine.end))
        pieces, ends, their_ends, at, base = list[np.ndarray](), list[np.ndarray](), list[np.ndarray](), 0, 0
        texts = list[np.ndarray]()
        for border in [*borders, len(ids)]:
            text, stops = spell(self.reader.tokenizer, ids[at:border])
            again, their_stops = respell(self.tokenizer, text)
            ends.append(np.where(stops >= 0, stops + base, -1))
            their_ends.append(np.where(their_stops >= 0, their_stops + base, -1))
            pieces.append(again)
            texts += [again] if len(again) else []
            base += len(text) + 1
            if border < len(ids):
                ends.append(np.array([base if self.open_alike or border == len(ids) - 1 else -1]))
                if ids[border] == mine.end:
                    pieces.append(np.array([theirs.end]))
                    their_ends.append(np.array([base]))
            at = border + 1
        if self.student.family.name == "decoder":
            row = Row(np.concatenate([self.opening, *pieces]).astype(np.int64))
            row.ids = row.ids if len(row.ids) else np.array([theirs.end])  # of a part of a character alone
        else:
            first, second = [*texts, None, None][:2]
            row = self.student.family.frame(Example(np.zeros(0, np.int64) if first is None else first, second), theirs)
        return Reading(row.ids, row.second, np.concatenate(ends), np.concatenate(their_ends))


class Reading(NamedTuple):
    """A document in the teacher's tokens, and where the tokens of both end; the opening is not counted."""

    ids: np.ndarray
    second: int
    ends: np.ndarray
    their_ends: np.ndarray


def documents_of(tokens: Tokens) -> Iterator[tuple[int, int, np.ndarray]]:
    """Row, first column and ids of each document, in their order."""
    ids, mask = tokens.ids.cpu().numpy(), tokens.mask.cpu().numpy()
    segments = mask.astype(np.int64) if tokens.segments is None else tokens.segments.cpu().numpy()
    for row in range(len(ids)):
        for document in range(1, segments[row].max() + 1):
            columns = np.flatnonzero(segments[row] == document)
            yield row, int(columns[0]), ids[row, columns]


def outcomes(logits: Tensor, tokens: Tensor) -> Tensor:
    """Logits (m, V) over a vocabulary to those (m, C + 1) of C + 1 outcomes: the tokens (C,), or any other."""
    rest = logits.index_fill(-1, tokens, -torch.inf).logsumexp(-1, keepdim=True).clamp(min=NOTHING)
    return torch.cat([logits[:, tokens], rest], dim=-1)


def at_rows(head: VocabularyHead, rows: Tensor) -> VocabularyHead:
    """A head for some rows of its features."""
    return VocabularyHead(head.features[rows], head.weight, head.bias)


def continuation(head: VocabularyHead, labels: Tensor, first: Tensor, last: Tensor, temperature: float) -> Tensor:
    """(G,) log-probability of the labels at the positions behind ``first`` up to ``last``, at a temperature."""
    bias = None if head.bias is None else head.bias / temperature
    tempered = VocabularyHead(head.features / temperature, head.weight, bias)
    sums = -tempered.cross_entropy(labels, reduction="none").cumsum(0)
    return sums[last] - sums[first]
