"""A teacher that takes down what it is asked, so that nothing but what training will ask is cached."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.models.heads import RowLoss, VocabularyHead
from research.models.teachers.caching.kinds import Classes, Embeddings, Features, Kind, States, TopTokens
from research.models.teachers.caching.rows import examples_digest
from research.models.teachers.teacher import Answer, Teacher
from research.step import Encoded, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student


class RecordedAnswer(Answer):
    """Another answer, and the kinds that were asked of it."""

    def __init__(self, answer: Answer, recorder: "Recorder", asked: set[Kind]) -> None:
        self.answer, self.recorder, self.asked = answer, recorder, asked

    @property
    def encoded(self) -> Encoded:
        self.asked.add(States())
        return self.answer.encoded

    def embedding(self) -> Tensor:
        self.asked.add(Embeddings())
        return self.answer.embedding()

    def class_logits(self, task: str) -> Tensor:
        self.asked.add(Classes(task, self.recorder.probes.get(task, "")))
        return self.answer.class_logits(task)

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        k = self.recorder.k
        self.asked.add(Features() if k is None else TopTokens(temperature, k))
        return self.answer.divergence(head, loss, temperature)


class Recorder(Teacher):
    """Another teacher, and what was asked of it: kinds of answers by stream and view.

    Args:
        teacher: what answers.
        k: tokens to keep of a distribution over the vocabulary, or none to keep all of it.
    """

    def __init__(self, teacher: Teacher, k: int | None) -> None:
        self.teacher, self.k = teacher, k
        self.asked: dict[tuple[str, View], set[Kind]] = {}
        self.probes: dict[str, str] = {}

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.teacher.tokenizer

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        self.teacher.check(student, streams)

    def build(self, device: torch.device) -> None:
        self.teacher.build(device)

    def answer(self, stream: str, view: View, tokens: Tokens) -> RecordedAnswer:
        asked = self.asked.setdefault((stream, view), set())
        return RecordedAnswer(self.teacher.answer(stream, view, tokens), self, asked)

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        seen = list(batches)
        self.teacher.fit_probe(task, seen, labels)
        self.probes[task] = examples_digest(seen, labels)

    def fingerprint(self) -> str:
        return self.teacher.fingerprint()
