"""A teacher whose answers were written to disk beforehand."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.backbone import load_tokenizer
from research.models.heads import RowLoss, VocabularyHead
from research.models.teachers.caching.kinds import (
    OUTPUT,
    Classes,
    Columns,
    Embeddings,
    Features,
    Kind,
    States,
    TopTokens,
)
from research.models.teachers.caching.manifest import Manifest
from research.models.teachers.caching.rows import examples_digest, row_keys
from research.models.teachers.caching.table import Table
from research.models.teachers.teacher import Answer, Teacher
from research.step import Encoded, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student

COMMAND = "python -m research.cli teacher cache --config YOUR.yaml --path"


class CachedAnswer(Answer):
    """Reads a kind of answer when it is asked for."""

    def __init__(self, teacher: "CachedTeacher", stream: str, tokens: Tokens) -> None:
        self.teacher, self.stream, self.tokens = teacher, stream, tokens

    @cached_property
    def encoded(self) -> Encoded:
        kind = States()
        return kind.encoded(self._read(kind), self.tokens)

    def embedding(self) -> Tensor:
        kind = Embeddings()
        return kind.embedding(self._read(kind), self.tokens).to(self.tokens.ids.device)

    def class_logits(self, task: str) -> Tensor:
        kind = Classes(task, self.teacher.probes.get(task, ""))
        return kind.logits(self._read(kind), self.tokens).to(self.tokens.ids.device)

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        k = self.teacher.k
        if k is not None:
            top = TopTokens(temperature, k)
            return top.divergence(self._read(top), head, loss)
        features = Features()
        theirs = features.head(self._read(features), self.teacher.output(head.features.device))
        return head.divergence(theirs, lambda mine, theirs: loss(mine / temperature, theirs / temperature))

    @cached_property
    def _keys(self) -> np.ndarray:
        return row_keys(self.tokens)

    def _read(self, kind: Kind) -> Columns:
        table = self.teacher.table(kind, self.stream)
        ranks = table.find(self._keys)
        if absent := int((ranks < 0).sum()):
            told = f"{absent} of the {len(ranks)} rows of a batch are not in the cache {self.teacher.path}"
            why = "it was written for other texts, views, steps or another seed"
            raise UserError(f"data.streams.{self.stream}: {told}: {why}; add them: {COMMAND} {self.teacher.path}")
        return {name: torch.from_numpy(np.concatenate(cells)) for name, cells in table.read(ranks).items()}


class CachedTeacher(Teacher):
    """Answers from what ``teacher cache`` wrote: without the teacher's weights and forwards.

    Its class logits are the live teacher's, and so are its distributions over the vocabulary, up to half precision. In
    a cache that was written with ``--k`` these have k + 1 outcomes: the likeliest tokens, and any other. A divergence
    is smaller then, and more so the flatter the distributions are.

    Args:
        path: folder of the cache.
        teacher: what writes the cache, so that one config serves both commands; it loads nothing in training, and a
            cache of another teacher is refused.
    """

    def __init__(self, path: str, teacher: Teacher | None = None) -> None:
        self.path, self.teacher = Path(path).expanduser(), teacher
        self.probes: dict[str, str] = {}
        self._tables: dict[str, Table] = {}
        self._output: dict[str, Tensor] = {}

    @cached_property
    def manifest(self) -> Manifest:
        manifest = Manifest(self.path)
        if not manifest.runs:
            state = "not finished" if manifest.owner else "not there"
            raise UserError(f"model.teacher: the cache {self.path} is {state}; write it: {COMMAND} {self.path}")
        return manifest

    @property
    def k(self) -> int | None:
        """How many tokens of a distribution it has; none if all."""
        k: int | None = self.manifest.owner["k"]
        return k

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        assert self.manifest
        return load_tokenizer(str(self.path / "tokenizer"), None)

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        super().check(student, streams)
        if self.teacher is not None and self.teacher.fingerprint() != self.manifest.owner["teacher"]:
            raise UserError(f"model.teacher: the cache {self.path} is of another teacher than init_args.teacher")

    def build(self, device: torch.device) -> None:
        """Nothing: tables are opened when they are asked."""

    def answer(self, stream: str, view: View, tokens: Tokens) -> CachedAnswer:
        return CachedAnswer(self, stream, tokens)

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        self.probes[task] = examples_digest(batches, labels)

    def output(self, device: torch.device) -> dict[str, Tensor]:
        """The teacher's output layer: ``weight`` (V, H), and ``bias`` (V,) if it has one."""
        if not self._output:
            self._output = load_file(self.path / Features().name / OUTPUT, device=str(device))
        return self._output

    def table(self, kind: Kind, stream: str) -> Table:
        """The table of a kind.

        Raises:
            UserError: naming the stream that asks, if the cache has none.
        """
        if kind.name not in self._tables:
            if kind.name not in self.manifest.tables:
                told = f"the cache {self.path} has no '{kind.name}', only {', '.join(self.manifest.tables)}"
                raise UserError(f"data.streams.{stream}: {told}; add it: {COMMAND} {self.path}")
            described = self.manifest.tables[kind.name]
            self._tables[kind.name] = Table(self.path / kind.name, described["shards"], described["index"])
        return self._tables[kind.name]
