"""This step's batches, with each view encoded once for all objectives that read it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import IGNORE, Batch, Example, Row, Tokens
from research.errors import UserError

if TYPE_CHECKING:
    from research.data.vocabulary import Vocabulary
    from research.models.families import Family
    from research.models.heads import VocabularyHead
    from research.models.recording import Stack
    from research.models.student import Student
    from research.models.teachers import Answer, Teacher


@dataclass(frozen=True)
class View(ABC):
    """One way to look at a stream's examples. Equal views are built and encoded once; it is built on the worker."""

    @abstractmethod
    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        """Show one example; ``rng`` depends on the seed and the batch's position alone."""

    def held_out(self) -> "View":
        """The view that stands for it on validation and test data."""
        return self

    def beside(self) -> "View | None":
        """A view that may show a student the same, whose encoding then serves this one too."""
        return None

    def connect(self, student: "Student") -> None:
        """Take from the student's tokenizer what :meth:`build` needs; called after :meth:`check`, loads no weights."""

    def learn(self, student: "Student", device: torch.device) -> None:
        """Take from the student's first weights what :meth:`build` needs; called once, before the workers start."""

    def finish(self, tokens: Tokens, student: "Student") -> Tokens:
        """Change the built tokens by the student's weights of this step, on its device."""
        return tokens

    def check(self, key: str, student: "Student", problem: str) -> None:
        """Refuse a student or a stream of a problem that the view has no meaning for; loads no weights.

        Raises:
            UserError: naming the objective's key.
        """

    def require(self, key: str, has: bool, what: str) -> None:
        if not has:
            raise UserError(f"{key}: the view {type(self).__name__} needs {what}")


@dataclass(frozen=True)
class Clean(View):
    """The example as it is. ``dropout_pass`` tells apart forwards that differ in their dropout mask only."""

    dropout_pass: int = 0

    def build(self, example: Example, family: "Family", vocabulary: "Vocabulary", rng: np.random.Generator) -> Row:
        return family.frame(example, vocabulary)


@dataclass
class Encoded:
    """Hidden states of a view.

    ``hidden`` (N, D or L, H) is aligned with ``tokens.labels``; ``memory`` (N, L, H) is aligned with
    ``tokens.ids`` and is what pooling reads. They differ only for an encoder-decoder that was given decoder ids.
    ``stacks`` are the layers' states where they were asked for: one, or the encoder's and then the decoder's.
    """

    hidden: Tensor
    memory: Tensor
    tokens: Tokens
    stacks: Sequence["Stack"] = ()

    def real(self) -> list[Tensor]:
        """For each of ``stacks`` where its tokens are real: (N, L) and, where a decoder runs, (N, D) bool."""
        labels = self.tokens.labels if self.tokens.decoder_ids is not None else None
        return [self.tokens.mask] if labels is None else [self.tokens.mask, labels != IGNORE]

    def at_labels(self) -> tuple[Tensor, Tensor]:
        """Hidden states (M, H) and labels (M,) of the M positions that carry a loss."""
        labels = self.tokens.labels
        assert labels is not None
        where = labels != IGNORE
        return self.hidden[where], labels[where]


class Step:
    """Encodes lazily: the first objective to ask for a view of a stream has all its views encoded in one forward.

    Args:
        batches: the batch of each stream of this step; a stream may be absent.
        student: what is trained.
        teacher: what it learns from, or none.
        views: for each stream the views that this step's objectives read.
        reads: for each stream what they read of the layers of student and teacher.
    """

    def __init__(
        self,
        batches: Mapping[str, Batch | None],
        student: "Student",
        teacher: "Teacher | None",
        views: Mapping[str, Sequence[View]],
        reads: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.batches = {name: batch for name, batch in batches.items() if batch is not None}
        self.student, self.teacher, self.views, self.reads = student, teacher, views, reads or {}
        self._tokens: dict[tuple[str, View], Tokens] = {}
        self._student: dict[tuple[str, View], Encoded] = {}
        self._vocabulary: dict[tuple[str, View], tuple[VocabularyHead, Tensor]] = {}
        self._teacher: dict[tuple[str, View], Answer] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self.batches

    def labels(self, stream: str) -> Tensor:
        labels = self.batches[stream].labels
        assert labels is not None
        return labels

    def tokens(self, stream: str, view: View) -> Tokens:
        """What one view shows, the same to student and teacher."""
        if (stream, view) not in self._tokens:
            self._tokens[stream, view] = view.finish(self.batches[stream].views[view], self.student)
        return self._tokens[stream, view]

    def encoded(self, stream: str, view: View) -> Encoded:
        """The student's hidden states of one view."""
        if (stream, view) not in self._student:
            tokens = {v: self.tokens(stream, v) for v in self.views[stream]}
            same_kind = [v for v in tokens if kind(tokens[v]) == kind(tokens[view])]
            served = {v: other for v, other in self.batches[stream].shared.items() if {v, other} <= {*same_kind}}
            own = [v for v in same_kind if v not in served]
            reads = self.reads.get(stream, frozenset())
            for each, encoded in zip(own, together(self.student, [tokens[v] for v in own], reads), strict=True):
                self._student[stream, each] = encoded
            for each, other in served.items():
                self._student[stream, each] = replace(self._student[stream, other], tokens=tokens[each])
        return self._student[stream, view]

    def vocabulary(self, stream: str, view: View) -> "tuple[VocabularyHead, Tensor]":
        """The student's head over a view's M positions that carry a loss, and their labels (M,)."""
        if (stream, view) not in self._vocabulary:
            hidden, labels = self.encoded(stream, view).at_labels()
            self._vocabulary[stream, view] = self.student.vocabulary_head(hidden), labels
        return self._vocabulary[stream, view]

    def again(self, stream: str, view: View, noise: Tensor | None = None) -> Encoded:
        """One more forward of a view: other dropout masks, and noise (N, L, E) on its input embeddings. Not kept."""
        return self.student(replace(self.tokens(stream, view), noise=noise))

    def no_noise(self, stream: str, view: View) -> Tensor:
        """Zeros (N, L, E) of the shape that :meth:`again` takes."""
        assert self.student.model is not None
        weight: Any = self.student.family.input_embedding(self.student.model).weight
        return weight.new_zeros(*self.tokens(stream, view).ids.shape, weight.shape[1])

    def taught(self, stream: str, view: View) -> "Answer":
        """What the teacher says of one view, without a gradient."""
        assert self.teacher is not None
        if (stream, view) not in self._teacher:
            given = stream, view, self.tokens(stream, view)
            reads = self.reads.get(stream)
            self._teacher[stream, view] = self.teacher.show(*given, reads) if reads else self.teacher.answer(*given)
        return self._teacher[stream, view]


def kind(tokens: Tokens) -> bool:
    """Views can share a forward if both, or neither, drive a decoder."""
    return tokens.decoder_ids is not None


def together(student: "Student", views: Sequence[Tokens], reads: frozenset[str] = frozenset()) -> list[Encoded]:
    """Encode views of the same kind in one forward of a taller batch, and cut the result apart again."""
    if len(views) == 1:
        return [student(views[0], reads)]

    def stack(name: str) -> Tensor | None:
        parts = [part for v in views if (part := getattr(v, name)) is not None]
        longest = max((p.shape[1] for p in parts), default=0)
        value = student.vocabulary.pad if name in ("ids", "decoder_ids") else 0
        return torch.cat([F.pad(p, (0, longest - p.shape[1]), value=value) for p in parts]) if parts else None

    tokens = Tokens(**{field.name: stack(field.name) for field in fields(Tokens) if field.name != "labels"})  # type: ignore[arg-type]
    tall = student(tokens, reads)
    out, start = [], 0
    for view in views:
        rows = slice(start, start := start + len(view.ids))
        lengths = [ids.shape[1] for ids in (view.ids, view.decoder_ids) if ids is not None]
        stacks = [stack.part(rows, length) for stack, length in zip(tall.stacks, lengths, strict=False)]
        out.append(Encoded(tall.hidden[rows, : lengths[-1]], tall.memory[rows, : lengths[0]], view, stacks))
    return out
