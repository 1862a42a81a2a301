"""What a classification head begins with, so that it knows its classes before the first step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.models.embedding import embed
from research.step import Clean

if TYPE_CHECKING:
    from research.models.student import Student
    from research.objectives.base import Read


class Start(ABC):
    """The weights of a linear head from the student's first weights, without dropout."""

    @abstractmethod
    def linear(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> tuple[Tensor, Tensor]:
        """Weights (C, H) and biases (C,), in the order of the labels."""

    @torch.no_grad()
    def __call__(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> None:
        """Set the weights of the task's head."""
        training = student.training
        student.eval()
        weights, biases = self.linear(student, task, labels, read)
        student.train(training)
        linear: Any = student.heads[task].linear
        linear.weight.copy_(weights)
        linear.bias.copy_(biases)


class Directions(Start):
    """One vector a class in the space of embeddings; the head's rows become

    ``w_c = scale v_c / |v_c| / mean_k |v_k|``, its biases 0,

    so that the logit of a text with embedding h is about ``scale cos(h, v_c)``, and h's class the nearest by cosine.

    Args:
        scale: above 0; larger is surer.
    """

    def __init__(self, scale: float = 10.0) -> None:
        if scale <= 0:
            raise UserError(f"scale is {scale}; it must be above 0")
        self.scale = scale

    @abstractmethod
    def vectors(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> Tensor:
        """(C, H), in the order of the labels."""

    def linear(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> tuple[Tensor, Tensor]:
        vectors = self.vectors(student, task, labels, read)
        weights = self.scale * F.normalize(vectors, dim=-1) / vectors.norm(dim=-1).mean()
        return weights, weights.new_zeros(len(weights))


class LabelNames(Directions):
    """The embeddings of the classes' names, so that no labelled text is needed.

    Args:
        names: what a label means, such as ``{DESC: a description}``; by default the label, with spaces for underscores.
        template: a text around the name, which stands for ``{}``.
        scale: as for :class:`Directions`.
    """

    def __init__(self, names: dict[str, str] | None = None, template: str = "{}", scale: float = 10.0) -> None:
        super().__init__(scale)
        if template.count("{}") != 1:
            raise UserError(f"template is '{template}'; it must have one {{}} for the class's name")
        self.names, self.template = names or {}, template

    def vectors(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> Tensor:
        if unknown := set(self.names) - set(labels):
            raise UserError(f"names of stream {task} name {sorted(unknown)}; labels: {tuple(labels)}")
        texts = [self.template.format(self.names.get(label, label.replace("_", " "))) for label in labels]
        return embed(student, texts).to(next(student.parameters()))


class Prototypes(Directions):
    """The mean embeddings of the labelled texts of each class (Snell et al. 2017, arXiv:1703.05175).

    Args:
        scale: as for :class:`Directions`.
    """

    def vectors(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> Tensor:
        device = next(student.parameters()).device
        sums = torch.zeros(len(labels), student.width, device=device)
        counts = torch.zeros(len(labels), 1, device=device)
        for batch in (batch.to(device) for batch in read(task, Clean())):
            embeddings = student.embedding(student(batch.views[Clean()])).to(sums.dtype)
            assert batch.labels is not None
            sums.index_add_(0, batch.labels, embeddings)
            counts.index_add_(0, batch.labels, torch.ones_like(embeddings[:, :1]))
        return sums / counts


class Probe(Start):
    """Multinomial logistic regression on the embeddings of the labelled texts, as :func:`logistic_regression` fits it.

    Args:
        c: inverse strength of its L2 penalty, above 0. Embeddings of length r want 1/r^2 of what unit ones do.
    """

    def __init__(self, c: float = 1.0) -> None:
        if c <= 0:
            raise UserError(f"c is {c}; it must be above 0")
        self.c = c

    def linear(self, student: "Student", task: str, labels: Sequence[str], read: "Read") -> tuple[Tensor, Tensor]:
        device = next(student.parameters()).device
        seen = [(student.embedding(student(b.views[Clean()].to(device))), b.labels) for b in read(task, Clean())]
        known = torch.cat([classes for _, classes in seen if classes is not None])
        return logistic_regression(torch.cat([embeddings for embeddings, _ in seen]), known, self.c)


def logistic_regression(embeddings: Tensor, labels: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Weights (C, H) and biases (C,) of scikit-learn's on embeddings (N, H) and labels (N,), each class among them."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=c, max_iter=1000).fit(embeddings.float().cpu().numpy(), labels.cpu().numpy())
    weights, biases = torch.as_tensor(fitted.coef_), torch.as_tensor(fitted.intercept_)
    if len(weights) == 1:  # one row for two classes: their difference
        weights, biases = torch.cat([-weights, weights]) / 2, torch.cat([-biases, biases]) / 2
    return weights.to(embeddings), biases.to(embeddings)
