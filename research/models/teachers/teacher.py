"""The interface of a teacher, and of what it says of one view."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.heads import RowLoss, VocabularyHead

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student
    from research.step import Encoded, View


class Answer(ABC):
    """What a teacher says of N examples in one view, without a gradient; each part is computed when asked for."""

    @abstractmethod
    def class_logits(self, task: str) -> Tensor:
        """Logits (N, C) of a labelled stream's classes."""

    @abstractmethod
    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        """Mean of ``loss(student logits / T, teacher logits / T)`` over the M positions that carry a loss.

        Args:
            head: the student's, at those positions.
            loss: of logits (m, C) and (m, C), to (m,); it may see fewer classes than the vocabulary has tokens.
            temperature: T, above 0.
        """

    def embedding(self) -> Tensor:
        """The teacher's embeddings (N, H).

        Raises:
            UserError: if it keeps none.
        """
        raise UserError(f"model.teacher: {type(self).__name__} has no embeddings; use a LiveTeacher")

    @property
    @abstractmethod
    def encoded(self) -> "Encoded":
        """The teacher's hidden states.

        Raises:
            UserError: if it keeps none.
        """


class Teacher(ABC):
    """Answers without a gradient. It is no submodule of the training module, so checkpoints do not hold it."""

    @property
    @abstractmethod
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Its vocabulary; reading it loads no weights."""

    @property
    def config(self) -> "PretrainedConfig | None":
        """The configuration of the model whose layers it shows, or none; reading it loads no weights."""
        return None

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        """Refuse a student or streams that it cannot teach, before any weight is loaded.

        Raises:
            UserError: naming the key.
        """
        if self.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise UserError(
                "model.teacher: its tokenizer differs from the student's; use a teacher of the same vocabulary, or "
                "research.models.AlignedTeacher"
            )

    @abstractmethod
    def build(self, device: torch.device) -> None:
        """Load what it needs onto a device."""

    @abstractmethod
    def answer(self, stream: str, view: "View", tokens: Tokens) -> Answer:
        """What it says of a stream's batch in one view."""

    def show(self, stream: str, view: "View", tokens: Tokens, reads: frozenset[str]) -> Answer:
        """The answer, with what ``reads`` names of the layers; asked of teachers with a :attr:`config` alone."""
        raise NotImplementedError

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        """Learn the classes of a labelled stream from its training batches, if the teacher has no head for them."""

    def foresee(self, asked: "Iterable[tuple[View, Tokens, Sequence[str]]]") -> None:
        """Hear, before the first step of a fit, what it will be asked in one pass over training and validation data.

        Args:
            asked: views of batches as the student sees them, and the streams whose classes are asked for; the next
                tokens are where there are none.
        """

    def fingerprint(self) -> str:
        """A digest of all that decides its answers, for a cache of them; loads no weights.

        Raises:
            UserError: if its answers cannot be cached.
        """
        raise UserError(f"model.teacher: the answers of a {type(self).__name__} cannot be cached; take a LiveTeacher")

    def follow(self, student: "Student") -> None:
        """Move with the student: called with its first weights, and after each step of its optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep of a teacher that moves."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
