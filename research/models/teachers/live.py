"""A teacher that runs beside the student."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.data.cache import key
from research.errors import UserError
from research.models.backbone import files_digest, weights_digest
from research.models.checkpoint import Trained
from research.models.heads import RowLoss, VocabularyHead
from research.models.packed import check_packed
from research.models.starts import logistic_regression
from research.models.student import Student
from research.models.teachers.teacher import Answer, Teacher
from research.step import Clean, Encoded, View

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from research.data.stream import StreamInfo


class LiveAnswer(Answer):
    """The hidden states of a model, and its heads on top of them."""

    def __init__(self, model: Student, encoded: Encoded) -> None:
        self.model, self._encoded = model, encoded

    @property
    def encoded(self) -> Encoded:
        return self._encoded

    @torch.no_grad()  # unlike hidden states, logits enter the student's graph, where inference tensors cannot
    def class_logits(self, task: str) -> Tensor:
        return self.model.class_logits(self._encoded, task)

    @torch.no_grad()
    def embedding(self) -> Tensor:
        return self.model.embedding(self._encoded)

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        with torch.no_grad():
            mine = self.model.vocabulary_head(self._encoded.at_labels()[0])
        return head.divergence(mine, lambda student, teacher: loss(student / temperature, teacher / temperature))


class LiveTeacher(Teacher):
    """A frozen model that runs beside the student.

    One that a run of this program trained has the heads of its tasks (a born-again student learns from the run before
    it: Furlanello et al. 2018, arXiv:1805.04770). A published encoder has none, and its class logits come from a
    probe: multinomial logistic regression on its frozen embeddings of the labelled training examples, fitted once
    before the first step.

    Args:
        backbone: as for :class:`research.models.student.Student`.
        checkpoint: instead of a backbone, that of a run, such as ``runs/NAME/checkpoints/last.ckpt``.
        revision: branch, tag or commit of a hub name.
        pooling: as for the student.
        probe_c: inverse strength of the probe's L2 penalty, above 0.
    """

    def __init__(
        self,
        backbone: str | None = None,
        checkpoint: str | None = None,
        revision: str | None = None,
        pooling: str | None = None,
        probe_c: float = 1.0,
    ) -> None:
        if (backbone is None) == (checkpoint is None):
            raise UserError("model.teacher: give either backbone or checkpoint")
        if probe_c <= 0:
            raise UserError(f"model.teacher: probe_c is {probe_c}; it must be above 0")
        self.trained = None if checkpoint is None else Trained(checkpoint, "model.teacher: checkpoint")
        if self.trained is None:
            self.student = Student(backbone, revision=revision, pooling=pooling)  # type: ignore[arg-type]
        else:
            self.student = self.trained.student
        self.backbone, self.checkpoint, self.probe_c = backbone, checkpoint, probe_c

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.student.tokenizer

    @property
    def config(self) -> "PretrainedConfig | None":
        return self.student.config

    def check(self, student: Student, streams: "Mapping[str, StreamInfo]") -> None:
        for name in (name for name, info in streams.items() if info.packed):
            check_packed(self.student.config, f"data.streams.{name}.init_args.pack", "model.teacher")
        super().check(student, streams)

    def build(self, device: torch.device) -> None:
        if self.trained is None:
            self.student.build()
        else:
            self.trained.restore()
        self.student.eval().requires_grad_(False).to(device)

    def answer(self, stream: str, view: View, tokens: Tokens) -> LiveAnswer:
        return LiveAnswer(self.student, self.encode(tokens))

    @torch.no_grad()  # layers enter the student's graph as logits do
    def show(self, stream: str, view: View, tokens: Tokens, reads: frozenset[str]) -> LiveAnswer:
        return LiveAnswer(self.student, self.student(tokens, reads))

    @torch.inference_mode()
    def encode(self, tokens: Tokens) -> Encoded:
        """Hidden states (N, L, H)."""
        return self.student(tokens)

    def fingerprint(self) -> str:
        student = self.student
        if self.backbone is not None:
            weights = weights_digest(self.backbone, student.config)
        else:
            weights = files_digest([Path(str(self.checkpoint)).expanduser()])
        return key("LiveTeacher", weights, student.pooling, self.probe_c)

    @torch.no_grad()
    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        if self.trained is not None and task in self.trained.streams:
            if (theirs := self.trained.streams[task].labels) != tuple(labels):
                raise UserError(
                    f"model.teacher: checkpoint: its labels of {task} are {list(theirs)}, the stream's {list(labels)}"
                )
            return
        student = self.student
        device = next(student.parameters()).device
        seen = [(student.embedding(self.encode(b.views[Clean()])).float().cpu(), b.labels) for b in batches]
        embeddings = torch.cat([embedding for embedding, _ in seen])
        known = torch.cat([labels.cpu() for _, labels in seen if labels is not None])
        weights, biases = logistic_regression(embeddings, known, self.probe_c)
        student.add_head(task, len(labels))
        linear: Any = student.heads[task].linear
        linear.weight.data, linear.bias.data = weights.to(device), biases.to(device)
        student.heads.eval().requires_grad_(False)
