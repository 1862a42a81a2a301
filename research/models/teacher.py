"""What the student learns from. Objectives ask for hidden states and logits and cannot tell how they come."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.heads import VocabularyHead
from research.models.student import Student
from research.step import Clean, Encoded


class Teacher(ABC):
    """Answers without a gradient. It is no submodule of the training module, so checkpoints do not hold it."""

    @property
    @abstractmethod
    def student(self) -> Student:
        """The model behind the answers."""

    @abstractmethod
    def build(self, device: torch.device) -> None:
        """Load the weights onto a device."""

    @abstractmethod
    def __call__(self, tokens: Tokens) -> Encoded:
        """Hidden states (N, L, H) of the teacher."""

    @abstractmethod
    def class_logits(self, encoded: Encoded, stream: str) -> Tensor:
        """Logits (N, C) of the labelled stream's classes."""

    @abstractmethod
    def vocabulary_head(self, features: Tensor) -> VocabularyHead:
        """The language-model head over hidden states (M, H)."""

    def fit_probe(self, stream: str, batches: Iterable[Batch], classes: int) -> None:
        """Learn the stream's classes from labelled batches, if the teacher has no head for them."""


class LiveTeacher(Teacher):
    """A frozen model that runs beside the student.

    Without a classification head of its own (a published encoder has none) its class logits come from a probe:
    multinomial logistic regression on its frozen embeddings of the labelled training examples, fitted once before
    the first step.

    Args:
        backbone: as for :class:`research.models.student.Student`.
        revision: branch, tag or commit of a hub name.
        pooling: as for the student.
        probe_c: inverse strength of the probe's L2 penalty, above 0.
    """

    def __init__(
        self, backbone: str, revision: str | None = None, pooling: str | None = None, probe_c: float = 1.0
    ) -> None:
        if probe_c <= 0:
            raise UserError(f"model.teacher: probe_c is {probe_c}; it must be above 0")
        self._student = Student(backbone, revision=revision, pooling=pooling)  # type: ignore[arg-type]
        self.probe_c = probe_c

    @property
    def student(self) -> Student:
        return self._student

    def build(self, device: torch.device) -> None:
        self._student.build()
        self._student.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def __call__(self, tokens: Tokens) -> Encoded:
        return self._student(tokens)

    @torch.no_grad()  # unlike hidden states, logits enter the student's graph, where inference tensors cannot
    def class_logits(self, encoded: Encoded, stream: str) -> Tensor:
        return self._student.class_logits(encoded, stream)

    @torch.no_grad()
    def vocabulary_head(self, features: Tensor) -> VocabularyHead:
        return self._student.vocabulary_head(features)

    @torch.no_grad()
    def fit_probe(self, stream: str, batches: Iterable[Batch], classes: int) -> None:
        from sklearn.linear_model import LogisticRegression

        student = self._student
        device = next(student.parameters()).device
        moved = [batch.to(device) for batch in batches]
        embeddings = torch.cat([student.embedding(self(batch.views[Clean()])) for batch in moved]).float().cpu()
        labels = torch.cat([b.labels for b in moved if b.labels is not None]).cpu()
        probe = LogisticRegression(C=self.probe_c, max_iter=1000).fit(embeddings.numpy(), labels.numpy())
        student.add_head(stream, classes)
        linear: Any = student.heads[stream].linear
        coefficients = torch.as_tensor(probe.coef_, dtype=torch.float32)
        intercepts = torch.as_tensor(probe.intercept_, dtype=torch.float32)
        if classes == 2:  # scikit-learn keeps one row for two classes
            coefficients, intercepts = (
                torch.cat([-coefficients, coefficients]) / 2,
                torch.cat([-intercepts, intercepts]) / 2,
            )
        linear.weight.data = coefficients.to(device)
        linear.bias.data = intercepts.to(device)
        student.heads.eval().requires_grad_(False)
