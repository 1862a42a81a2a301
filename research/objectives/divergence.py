"""How far two distributions are apart: the choices of a distillation, all of logits (m, C) and (m, C), to (m,).

In the formulas ``p = softmax(teacher)`` and ``q = softmax(student)``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from research.errors import UserError


def log_p(logits: Tensor) -> Tensor:
    """Log-probabilities, in float32 at least: those of bfloat16 differ by hundredths of a nat from class to class."""
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def kl(first: Tensor, second: Tensor) -> Tensor:
    """``sum_c p_c log(p_c / q_c)`` of log-probabilities (m, C) each, to (m,)."""
    return F.kl_div(second, first, log_target=True, reduction="none").sum(-1)


def mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """``log(share p + (1 - share) q)`` of log-probabilities, with a share in (0, 1)."""
    return torch.logaddexp(first + math.log(share), second + math.log1p(-share))


def forward_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(p || q)``: the student covers all that the teacher may say (Hinton et al. 2015, arXiv:1503.02531)."""
    return kl(log_p(teacher), log_p(student))


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(q || p)``: it says nothing that the teacher would not (Gu et al. 2023, arXiv:2306.08543)."""
    return kl(log_p(student), log_p(teacher))


def jensen_shannon(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """``beta KL(p || m) + (1 - beta) KL(q || m)`` with ``m = beta p + (1 - beta) q`` (Agarwal et al. 2023)."""
    p, q = log_p(teacher), log_p(student)
    middle = mixed(p, q, beta)
    return beta * kl(p, middle) + (1 - beta) * kl(q, middle)


def skewed_kl(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """``KL(p || alpha p + (1 - alpha) q)``, whose gradient stays bounded where q is 0 (Ko et al. 2024)."""
    p, q = log_p(teacher), log_p(student)
    return kl(p, mixed(p, q, alpha))


class Divergence(ABC):
    """A choice among the functions above, as a YAML names it."""

    @abstractmethod
    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Logits (m, C) and (m, C) to (m,)."""


class ForwardKL(Divergence):
    """:func:`forward_kl`."""

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return forward_kl(student, teacher)


class ReverseKL(Divergence):
    """:func:`reverse_kl`."""

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return reverse_kl(student, teacher)


@dataclass(frozen=True)
class JensenShannon(Divergence):
    """:func:`jensen_shannon` (arXiv:2306.13649); ``beta`` in (0, 1), at its ends like forward and reverse KL."""

    beta: float = 0.5

    def __post_init__(self) -> None:
        check_share("beta", self.beta)

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return jensen_shannon(student, teacher, self.beta)


@dataclass(frozen=True)
class SkewedKL(Divergence):
    """:func:`skewed_kl` (DistiLLM, arXiv:2402.03898); ``alpha`` in (0, 1); ``reverse`` swaps student and teacher."""

    alpha: float = 0.1
    reverse: bool = False

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        first, second = (teacher, student) if self.reverse else (student, teacher)
        return skewed_kl(first, second, self.alpha)


def check_share(name: str, share: float) -> None:
    """Raises :class:`UserError` where a share is not in (0, 1)."""
    if not 0 < share < 1:
        raise UserError(f"divergence: {name} is {share}; it must lie in (0, 1)")
