"""Distillation of embeddings: each text's points where the teacher's does."""

import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.objectives.base import Objective
from research.step import Clean, Step, View


def embedding_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``1/N sum_i 1 - cos(s_i, t_i)`` of embeddings (N, H) and (N, H)."""
    return (1 - F.cosine_similarity(student, teacher, dim=-1)).mean()


class EmbeddingDistillation(Objective):
    """Keep the direction of a text's embedding; of the unchanged model as the teacher, against forgetting.

    It is the sentence's counterpart of DistilBERT's cosine of token states (Sanh et al. 2019, arXiv:1910.01108), and of
    the sentence embeddings of Reimers & Gurevych (2020, arXiv:2004.09813), who take the squared distance.

    Args:
        stream: any stream.
        view: what both read; the default is the text as it is.
    """

    needs_teacher = True
    separable = True

    def __init__(self, stream: str, view: View | None = None) -> None:
        super().__init__(stream)
        self.view = view or Clean()

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def forward(self, step: Step) -> Tensor:
        mine = step.student.embedding(step.encoded(self.stream, self.view))
        theirs = step.taught(self.stream, self.view).embedding()
        if mine.shape != theirs.shape:
            raise UserError(
                f"model.teacher: its embeddings have {theirs.shape[-1]} numbers, the student's {mine.shape[-1]}; "
                "EmbeddingDistillation needs as many, Relational does not"
            )
        return embedding_loss(mine, theirs)
