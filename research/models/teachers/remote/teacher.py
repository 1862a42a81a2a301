"""A teacher on a server: class distributions by asking, next tokens by their log-probabilities."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.data.masking import Conditional, NextToken
from research.errors import UserError
from research.models.alignment import align, opens_with_space, readings
from research.models.heads import RowLoss, VocabularyHead
from research.models.teachers.aligned import NOTHING, at_rows, documents_of
from research.models.teachers.remote.parts import Part, targets_of, texts_of
from research.models.teachers.remote.question import MOST, Question
from research.models.teachers.remote.server import Request, Server
from research.models.teachers.remote.writing import Writing
from research.models.teachers.teacher import Answer, Teacher
from research.step import Encoded, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student

log = logging.getLogger(__name__)

LEAST = 1e-6  # probability of a label that no likely token begins, and of all tokens but the likeliest


class RemoteTeacher(Teacher):
    """A model behind an OpenAI-compatible server, of any tokenizer; for what it has answered once, no server is needed.

    A fit says at its start what one pass may cost at most, and ``server.limit`` bounds what it spends; with
    ``server.batch`` that pass is answered before the first step.

    For classes it is asked a question about each text. Next tokens are distilled of any text for a decoder, if the
    server gives the log-probabilities of a given text (vLLM does), or of targets that it has written itself. The texts
    are what the student's tokenizer gives back of its tokens.

    Args:
        server: who is asked. On several processes each has its rates and limit for itself.
        questions: for each labelled stream whose classes are distilled, with a word for each of its labels.
        top: log-probabilities asked for at each token of a given text, in [1, 20].
        writing: how ``teacher write`` asked for the targets of a task, whose tokens are then distilled.
    """

    def __init__(
        self,
        server: Server,
        questions: dict[str, Question] | None = None,
        top: int = MOST,
        writing: Writing | None = None,
    ) -> None:
        if not 1 <= top <= MOST:
            raise UserError(f"model.teacher: top is {top}; it must lie in [1, {MOST}]")
        self.server, self.questions, self.top, self.writing = server, questions or {}, top, writing
        self.labels: dict[str, list[str]] = {}

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.student.tokenizer

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        """Refuses no tokenizer, and keeps the student's to read its tokens."""
        self.student = student
        for task in self.questions:
            if task not in streams:
                raise UserError(
                    f"model.teacher: questions.{task}: data.streams has no '{task}', only {', '.join(streams)}"
                )

    def build(self, device: torch.device) -> None:
        """Nothing: the server has the weights."""

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        """Nothing to fit; the words must be those of the stream's labels, which are known by now."""
        if task not in self.questions:
            raise UserError(f"model.teacher: questions has none for '{task}', whose classes are distilled")
        if set(words := self.questions[task].words) != set(labels):
            raise UserError(f"model.teacher: questions.{task}.words has {sorted(words)}; the labels are {list(labels)}")
        self.labels[task] = list(labels)

    def foresee(self, asked: Iterable[tuple[View, Tokens, Sequence[str]]]) -> None:
        """Say what a pass may cost at most; with batches, have it answered before the first step."""
        chunks = (RemoteAnswer(self, view, tokens).requests(tasks) for view, tokens, tasks in asked)
        kept = list(chunks) if self.server.batch else chunks
        told = self.server.estimate(kept).told(self.server.prices, self.server.purse.limit)
        log.info(f"model.teacher: one pass over training and validation texts takes {told}")
        if self.server.batch:
            self.server.ask([request for chunk in kept for request in chunk])

    def answer(self, stream: str, view: View, tokens: Tokens) -> "RemoteAnswer":
        return RemoteAnswer(self, view, tokens)

    def text_of(self, ids: np.ndarray) -> str:
        """A document without what the family puts around it."""
        return self.student.tokenizer.backend_tokenizer.decode(ids.tolist())

    @cached_property
    def readings(self) -> dict[str, int]:
        """The student's token for a text, where one stands for it alone."""
        return readings(self.student.tokenizer)

    @cached_property
    def first_readings(self) -> dict[str, int]:
        """Likewise at the beginning of a text."""
        if not opens_with_space(self.student.tokenizer):
            return self.readings
        return {text[1:]: token for text, token in self.readings.items() if text.startswith(" ")}


class RemoteAnswer(Answer):
    """Asks the server when an objective asks it."""

    def __init__(self, teacher: RemoteTeacher, view: View, tokens: Tokens) -> None:
        self.teacher, self.view, self.tokens = teacher, view, tokens

    @property
    def encoded(self) -> Encoded:
        raise UserError("model.teacher: a RemoteTeacher has no hidden states")

    def class_logits(self, task: str) -> Tensor:
        """Log-probabilities of the labels' words among each other."""
        teacher, question, asked = self.teacher, self.teacher.questions[task], self._questions(task)
        answers = iter(teacher.server.ask([request for each in asked for request in each]))
        rows = [question.weights([next(answers) for _ in each]) for each in asked]
        weights = torch.tensor([[row[label] for label in teacher.labels[task]] for row in rows])
        weights = weights.clamp(min=LEAST)  # all alike where no word was named
        return (weights / weights.sum(-1, keepdim=True)).log().to(self.tokens.ids.device)

    def requests(self, tasks: Sequence[str]) -> list[Request]:
        """All that is asked for the classes of these tasks, or for next tokens where there are none."""
        if not tasks:
            return [part.request for part in self._parts()]
        return [request for task in tasks for each in self._questions(task) for request in each]

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        """Over the likeliest tokens and one more outcome, any other; where one token of each covers the same text.

        Outcomes are tempered as they are: ``loss(log p / T, log q / T)`` of the likeliest tokens and the rest.
        """
        positions, tokens, theirs = (part.to(head.features.device) for part in self._tops)

        def one(mine: Tensor, tokens: Tensor, theirs: Tensor) -> Tensor:
            return loss(top_outcomes(mine, tokens) / temperature, theirs.to(mine.dtype) / temperature)

        return at_rows(head, positions).mean(one, tokens, theirs)

    @cached_property
    def _tops(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions (G,) that predict what the server predicts too; its likeliest tokens there (G, K), as the student's
        ids and -1 where there are fewer; and their log-probabilities and that of all others (G, K + 1)."""
        parts = list(self._parts())
        answers = self.teacher.server.ask([part.request for part in parts])
        positions, tokens, logs = list[int](), list[list[int]](), list[list[float]]()
        for part, answer in zip(parts, answers, strict=True):
            echo = part.read(answer, part.text)
            runs = align(part.ends, echo.ends)
            single = (runs.first == runs.last) & (runs.their_first == runs.their_last)
            for mine, their in zip(runs.first[single], runs.their_first[single], strict=True):
                if part.positions[mine] >= 0 and echo.tops[their]:
                    positions.append(part.positions[mine])
                    has = self.teacher.readings if mine else self.teacher.first_readings
                    token, log = outcomes_of(echo.tops[their], has)
                    tokens.append(token)
                    logs.append(log)
        width = max(map(len, tokens), default=0)
        padded = [row + [-1] * (width - len(row)) for row in tokens]
        known = [[*row[:-1], *[NOTHING] * (width + 1 - len(row)), row[-1]] for row in logs]
        return (
            torch.tensor(positions, dtype=torch.long),
            torch.tensor(padded, dtype=torch.long).reshape(len(positions), width),
            torch.tensor(known).reshape(len(positions), width + 1),
        )

    def _questions(self, task: str) -> list[list[Request]]:
        """The requests about each document."""
        question = self.teacher.questions[task]
        return [question.requests(self.teacher.text_of(ids)) for _, _, ids in documents_of(self.tokens)]

    def _parts(self) -> Iterator[Part]:
        teacher = self.teacher
        if isinstance(self.view, NextToken):
            return texts_of(self.tokens, teacher.student, teacher.top)
        if isinstance(self.view, Conditional) and teacher.writing is not None:
            return targets_of(self.tokens, teacher.student, teacher.writing)
        told = "of plain texts, the view NextToken, and of what it wrote, the view Conditional with the setting writing"
        raise UserError(f"model.teacher: a RemoteTeacher knows next tokens {told}")


def outcomes_of(top: Mapping[str, float], tokens: Mapping[str, int]) -> tuple[list[int], list[float]]:
    """The student's ids of the likeliest tokens that it has too, and log-probabilities of these and all others."""
    known = {tokens[text]: value for text, value in top.items() if text in tokens}
    rest = 1 - sum(math.exp(value) for value in known.values())
    return list(known), [*known.values(), math.log(max(rest, LEAST))]


def top_outcomes(logits: Tensor, tokens: Tensor) -> Tensor:
    """Logits (m, V) to log-probabilities (m, K + 1): of tokens (m, K), where -1 is none, and of all others."""
    logs = logits.log_softmax(-1)
    absent = tokens < 0
    rest = torch.cat([logs, logs.new_full((len(logs), 1), NOTHING)], -1)  # a column that -1 writes to
    rest = rest.scatter(-1, tokens % rest.shape[-1], NOTHING).logsumexp(-1, keepdim=True)
    return torch.cat([logs.gather(-1, tokens.clamp(min=0)).masked_fill(absent, NOTHING), rest], -1)
