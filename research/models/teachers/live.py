"""A teacher that runs beside the student."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.heads import Divergence, VocabularyHead
from research.models.packed import check_packed
from research.models.student import Student
from research.models.teachers.teacher import Answer, Teacher
from research.step import Clean, Encoded, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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

    def divergence(self, head: VocabularyHead, loss: Divergence, temperature: float) -> Tensor:
        with torch.no_grad():
            mine = self.model.vocabulary_head(self._encoded.at_labels()[0])
        return head.divergence(mine, lambda student, teacher: loss(student / temperature, teacher / temperature))


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
        self.student = Student(backbone, revision=revision, pooling=pooling)  # type: ignore[arg-type]
        self.probe_c = probe_c

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.student.tokenizer

    def check(self, student: Student, streams: "Mapping[str, StreamInfo]") -> None:
        for name in (name for name, info in streams.items() if info.packed):
            check_packed(self.student.config, f"data.streams.{name}.init_args.pack", "model.teacher")
        super().check(student, streams)

    def build(self, device: torch.device) -> None:
        self.student.build()
        self.student.eval().requires_grad_(False).to(device)

    def answer(self, stream: str, view: View, tokens: Tokens) -> LiveAnswer:
        return LiveAnswer(self.student, self.encode(tokens))

    @torch.inference_mode()
    def encode(self, tokens: Tokens) -> Encoded:
        """Hidden states (N, L, H)."""
        return self.student(tokens)

    @torch.no_grad()
    def fit_probe(self, task: str, batches: Iterable[Batch], classes: int) -> None:
        from sklearn.linear_model import LogisticRegression

        student = self.student
        device = next(student.parameters()).device
        seen = [(student.embedding(self.encode(b.views[Clean()])).float().cpu(), b.labels) for b in batches]
        embeddings = torch.cat([embedding for embedding, _ in seen])
        labels = torch.cat([labels.cpu() for _, labels in seen if labels is not None])
        probe = LogisticRegression(C=self.probe_c, max_iter=1000).fit(embeddings.numpy(), labels.numpy())
        student.add_head(task, classes)
        linear: Any = student.heads[task].linear
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
