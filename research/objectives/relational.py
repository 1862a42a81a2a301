"""Relational knowledge distillation (Park et al. 2019, arXiv:1904.05068)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError
from research.objectives.base import Objective
from research.ranks import of_all_ranks
from research.step import Clean, Step, View


def distances(x: Tensor) -> Tensor:
    """``|x_i - x_j| / mu`` of all pairs of (N, H), where mu is their mean: (N (N - 1) / 2,)."""
    apart = torch.pdist(x)
    return apart / apart.mean().clamp_min(torch.finfo(x.dtype).eps)


def angles(x: Tensor) -> Tensor:
    """``cos`` of the angle at x_j between x_i and x_k, of all triplets of different rows of (N, H), each twice.

    Rows that are equal but for rounding, as of equal texts, have no direction between them: their cosines are near 0.
    """
    least = torch.finfo(x.dtype).eps ** 0.5 * float(x.detach().abs().max())
    towards = F.normalize(x[None] - x[:, None], dim=-1, eps=least)  # (N at j, N to i, H)
    every = torch.arange(len(x), device=x.device)
    j, i, k = torch.meshgrid(every, every, every, indexing="ij")
    different = (i != j) & (j != k) & (i != k)
    return (towards @ towards.mT)[different]


def relational_loss(student: Tensor, teacher: Tensor, distance: float, angle: float) -> Tensor:
    """``distance Huber(d_s, d_t) + angle Huber(a_s, a_t)`` of embeddings (N, H_s) and (N, H_t), the mean over tuples.

    d are :func:`distances` and a :func:`angles`; of fewer than three texts the loss is 0.
    """
    if len(student) < 3:
        return student.sum() * 0.0
    apart = F.smooth_l1_loss(distances(student), distances(teacher))
    return distance * apart + angle * F.smooth_l1_loss(angles(student), angles(teacher))


class Relational(Objective):
    """Let the texts of a batch lie to each other as the teacher's embeddings do; the student's width is free.

    Args:
        stream: any stream; memory grows with the square of the batch's texts times the width, and their cube.
        distance: weight of the distances between two texts, at least 0.
        angle: weight of the angles between three, at least 0.
        view: what both read; the default is the text as it is.
    """

    needs_teacher = True

    gathers = True

    def __init__(self, stream: str, distance: float = 1.0, angle: float = 2.0, view: View | None = None) -> None:
        super().__init__(stream)
        for name, weight in (("distance", distance), ("angle", angle)):
            if weight < 0:
                raise UserError(f"{name} is {weight}; it must be at least 0")
        self.distance, self.angle, self.view = distance, angle, view or Clean()

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def forward(self, step: Step) -> Tensor:
        mine = of_all_ranks(step.student.embedding(step.encoded(self.stream, self.view)))
        theirs = of_all_ranks(step.taught(self.stream, self.view).embedding())
        return relational_loss(mine, theirs, self.distance, self.angle)
