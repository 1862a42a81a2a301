"""A trained student that answers texts: labels, values, embeddings, similarities, texts of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import Batch
from research.data.records import TOKENS, batched
from research.data.sources.fields import checked_text
from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference.decisions import Decisions
from research.inference.early_exit import early_logits, exits
from research.inference.predict import answers
from research.inference.writing import write_texts
from research.models.student import Student
from research.objectives.base import Objective
from research.step import Clean, Step, View

WINDOW = 4096  # texts that are sorted by length together
READ = ("text", "text_pair")
ANY = StreamInfo("unlabelled")

Text = str | Mapping[str, Any]
"""A text, or a record with a ``text`` and maybe the ``text_pair`` that it is read together with."""


class Model:
    """A student in evaluation mode and what its run knew of the streams; :func:`research.inference.load` makes one.

    Texts are tokenised and cut as in training, batched with others of like length, and answered in their order. All
    methods raise ``UserError`` for what is no text.

    Args:
        student: built, on its device.
        streams: what the run knew of each.
        deciding: objectives that tell the classes of a stream where the student's head does not.
        tokens: of a batch, padding included.
        decisions: what is made of the logits of a stream, if more than their softmax.
        exit_below: entropy in nats below which a text leaves at a layer that has a head, where the stream has such.
    """

    def __init__(
        self,
        student: Student,
        streams: Mapping[str, StreamInfo],
        deciding: Mapping[str, Objective] | None = None,
        tokens: int = TOKENS,
        decisions: Mapping[str, Decisions] | None = None,
        exit_below: float | None = None,
    ) -> None:
        self.student, self.streams, self.deciding, self.tokens = student, streams, deciding or {}, tokens
        self.decisions, self.exit_below = decisions or {}, exit_below

    @property
    def tasks(self) -> dict[str, StreamInfo]:
        """The streams that the student can answer: those with a head, or with texts to write."""
        writes = self.student.family.name != "encoder"
        known = {*self.student.heads, *self.deciding}
        return {n: i for n, i in self.streams.items() if n in known or (i.problem == "generate" and writes)}

    def take_markup_as_text(self) -> None:
        """From now on what a text says as [SEP] or </s> is read as text, and frames nothing."""
        self.student.tokenizer.backend_tokenizer.encode_special_tokens = True

    def task(self, name: str | None = None, *problems: str) -> str:
        """A task by its name, or the only one there is, of some problem.

        Raises:
            UserError: naming those that there are.
        """
        fit = [n for n, info in self.tasks.items() if not problems or info.problem in problems]
        if name in fit or (name is None and len(fit) == 1):
            return name or fit[0]
        of = f" of problem {' or '.join(problems)}" if problems else ""
        there = f"there is {', '.join(fit) or 'none'}"
        raise UserError(f"task: name one{of}; {there}" if name is None else f"task: no {name}{of}; {there}")

    def logits(self, texts: Iterable[Text], task: str | None = None) -> np.ndarray:
        """What the head says, (N, C) float32: of ``regress`` one standardised value, of others a logit a label."""
        stream = self.task(task, "classify", "multilabel", "regress")
        rows = self._answered(texts, self.streams[stream], self.views(stream), lambda b: self.class_logits(stream, b))
        return np.array(list(rows), np.float32).reshape(-1, max(len(self.streams[stream].labels), 1))

    def predict(self, texts: Iterable[Text], task: str | None = None, **settings: Any) -> Iterator[dict[str, Any]]:
        """An answer a text: ``label`` and ``probabilities``, ``labels``, ``value``, or the ``text`` that is written.

        ``settings`` are those of :meth:`generate`. A stream with decisions is answered as
        :meth:`research.inference.decisions.Decisions.answers` says.
        """
        stream = self.task(task)
        info = self.streams[stream]
        if info.problem == "generate":
            return ({"text": text} for text in self._written(texts, stream, settings))
        if stream in self.decisions:
            classes, decide = len(info.labels), self.decisions[stream].answers

            def decided(batch: Batch) -> list[dict[str, Any]]:
                rows = self.scored(stream, batch).float().cpu().numpy()
                return decide(rows[:, :classes], rows[:, classes:])

            return self._answered(texts, info, self.scored_views(stream), decided)
        return self._answered(
            texts, info, self.views(stream), lambda batch: answers(info, self.class_logits(stream, batch).cpu())
        )

    def scores(self, texts: Iterable[Text], task: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Logits (N, C) and embeddings (N, H) of one forward, float32, of texts cut to what the task reads."""
        stream = self.task(task, "classify", "multilabel", "regress")
        outputs = max(len(self.streams[stream].labels), 1)
        rows = np.array(list(self._scored(texts, stream)), np.float32).reshape(-1, outputs + self.student.width)
        return rows[:, :outputs], rows[:, outputs:]

    def scored(self, stream: str, batch: Batch) -> Tensor:
        """Logits and embeddings (N, C + H) of a batch with the views of :meth:`scored_views`."""
        encoded = self.student(batch.views[Clean()])
        embedding = self.student.embedding(encoded)
        own = stream not in self.deciding
        logits = self.student.heads[stream](embedding) if own else self.class_logits(stream, batch)
        return torch.cat([logits, embedding], dim=1)

    def scored_views(self, stream: str) -> list[View]:
        return list(dict.fromkeys([Clean(), *self.views(stream)]))

    def views(self, stream: str) -> Sequence[View]:
        """The views of a text that the logits of a stream are told from."""
        return self.deciding[stream].views() if stream in self.deciding else [Clean()]

    def class_logits(self, stream: str, batch: Batch) -> Tensor:
        """Logits (N, C) of a batch with these views, differentiable by what it is encoded to."""
        if stream in self.deciding:
            step = Step({stream: batch}, self.student, None, {stream: self.views(stream)})
            logits = self.deciding[stream].class_logits(step)
            assert logits is not None
            return logits
        if self.exit_below is not None and exits(self.student, stream):
            return early_logits(self.student, batch.views[Clean()], stream, self.exit_below)[0]
        return self.student.class_logits(self.student(batch.views[Clean()]), stream)

    def embed(self, texts: Iterable[Text]) -> np.ndarray:
        """Embeddings (N, H) float32."""
        return np.array(list(self.embeddings(texts)), np.float32).reshape(-1, self.student.width)

    def embeddings(self, texts: Iterable[Text]) -> Iterator[np.ndarray]:
        """One after the other, each (H,) float32."""

        def embedded(batch: Batch) -> Tensor:
            return self.student.embedding(self.student(batch.views[Clean()]))

        return (row.numpy() for row in self._answered(texts, ANY, [Clean()], embedded))

    def score(self, pairs: Iterable[Text]) -> Iterator[float]:
        """The cosine in [-1, 1] of the embeddings of ``text`` and ``text_pair`` of each record."""
        texts = chain.from_iterable(_both(i, pair) for i, pair in enumerate(pairs))
        rows = (torch.from_numpy(row) for row in self.embeddings(texts))
        return (float(F.cosine_similarity(row, next(rows), dim=0)) for row in rows)

    def generate(self, texts: Iterable[Text], task: str | None = None, **settings: Any) -> list[str]:
        """The N texts that the student writes; ``settings`` are those of Transformers' ``generate``."""
        return list(self._written(texts, self.task(task, "generate"), settings))

    def _written(self, texts: Iterable[Text], stream: str, settings: dict[str, Any]) -> Iterator[str]:
        info = self.streams[stream]
        most = settings.pop("max_new_tokens", info.max_target_length)
        return self._answered(
            texts, info, [Clean()], lambda batch: write_texts(self.student, batch.views[Clean()], most, **settings)
        )

    def _scored(self, texts: Iterable[Text], stream: str) -> Iterator[Tensor]:
        views = self.scored_views(stream)
        return self._answered(texts, self.streams[stream], views, lambda batch: self.scored(stream, batch))

    def _answered(
        self,
        texts: Iterable[Text],
        info: StreamInfo,
        views: Sequence[View],
        answer: Callable[[Batch], Tensor | Sequence[Any]],
    ) -> Iterator[Any]:
        """What ``answer`` says of each text, in their order; rows of tensors are float32, on the CPU."""
        numbered = enumerate(texts)
        while window := [_record(i, text) for i, text in islice(numbered, WINDOW)]:
            out: list[Any] = [None] * len(window)
            while todo := [i for i, value in enumerate(out) if value is None]:
                try:
                    self._fill(out, todo, window, info, views, answer)
                except torch.OutOfMemoryError:
                    if self.tokens == 1:
                        raise
                    self.tokens //= 2  # and so it stays: the next texts are no shorter
            yield from out

    @torch.inference_mode()
    def _fill(
        self,
        out: list[Any],
        todo: Sequence[int],
        window: Sequence[dict[str, Any]],
        info: StreamInfo,
        views: Sequence[View],
        answer: Callable[[Batch], Tensor | Sequence[Any]],
    ) -> None:
        device = next(self.student.parameters()).device
        for few, batch in batched(self.student, [window[i] for i in todo], views, info, self.tokens):
            values = answer(batch.to(device))
            values = values.float().cpu() if isinstance(values, Tensor) else values
            for place, value in zip(few, values, strict=True):
                out[todo[place]] = value


def _record(number: int, text: Text) -> dict[str, Any]:
    record = {"text": text} if isinstance(text, str) else text
    where = record.get("where", f"texts[{number}]")
    if "text" not in record:
        raise UserError(f"{where}: a record needs a text")
    return {name: checked_text(record[name], name, where) for name in READ if record.get(name) is not None}


def _both(number: int, pair: Text) -> tuple[Text, Text]:
    if isinstance(pair, str) or pair.get("text_pair") is None:
        where = f"pairs[{number}]" if isinstance(pair, str) else pair.get("where", f"pairs[{number}]")
        raise UserError(f"{where}: a score needs a text and a text_pair")
    return {**pair, "text_pair": None}, {**pair, "text": pair["text_pair"], "text_pair": None}
