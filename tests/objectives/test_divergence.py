"""Divergences against torch.distributions, and their limits against each other."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from research.errors import UserError
from research.objectives.divergence import Divergence, ForwardKL, JensenShannon, ReverseKL, SkewedKL

STUDENT, TEACHER = torch.randn(2, 9, 20, dtype=torch.float64, generator=torch.manual_seed(0)) * 3


def expected(divergence: Divergence, student: Tensor, teacher: Tensor) -> Tensor:
    """The definitions, of probabilities."""
    p, q = (Categorical(logits=z) for z in (teacher, student))

    def mixture(share: float) -> Categorical:
        return Categorical(probs=share * p.probs + (1 - share) * q.probs)

    if isinstance(divergence, JensenShannon):
        middle, beta = mixture(divergence.beta), divergence.beta
        return beta * kl_divergence(p, middle) + (1 - beta) * kl_divergence(q, middle)
    if isinstance(divergence, SkewedKL):
        share = divergence.alpha
        return kl_divergence(q, mixture(1 - share)) if divergence.reverse else kl_divergence(p, mixture(share))
    return kl_divergence(q, p) if isinstance(divergence, ReverseKL) else kl_divergence(p, q)


ALL = [ForwardKL(), ReverseKL(), JensenShannon(), JensenShannon(0.1), SkewedKL(), SkewedKL(0.3, reverse=True)]


@pytest.mark.parametrize("divergence", ALL, ids=lambda each: type(each).__name__)
def test_definition(divergence: Divergence) -> None:
    torch.testing.assert_close(divergence(STUDENT, TEACHER), expected(divergence, STUDENT, TEACHER))
    assert divergence(TEACHER, TEACHER).abs().max() < 1e-12 and (divergence(STUDENT, TEACHER) > 0).all()
    student = STUDENT[:2, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: divergence(z, TEACHER[:2, :4]), student)


def test_symmetric_and_bounded() -> None:
    """Jensen-Shannon at 1/2 does not tell student from teacher and stays below log 2; at its ends it is like a KL."""
    torch.testing.assert_close(JensenShannon()(STUDENT, TEACHER), JensenShannon()(TEACHER, STUDENT))
    assert (JensenShannon()(50 * STUDENT, 50 * TEACHER) <= torch.log(torch.tensor(2.0)) + 1e-9).all()
    for beta, limit in ((1e-7, ForwardKL()), (1 - 1e-7, ReverseKL())):
        ends = JensenShannon(beta)(STUDENT, TEACHER) / min(beta, 1 - beta)
        torch.testing.assert_close(ends, limit(STUDENT, TEACHER), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("divergence", [SkewedKL(), JensenShannon()], ids=lambda each: type(each).__name__)
def test_stays_finite_where_the_student_gives_no_chance(divergence: Divergence) -> None:
    """The forward KL grows with the logit, these do not; their gradient stays."""
    student = torch.tensor([[0.0, -500.0]], requires_grad=True)
    teacher = torch.tensor([[-2.0, 2.0]])
    loss = divergence(student, teacher)
    loss.sum().backward()
    assert ForwardKL()(student, teacher) > 400 and loss < 3 and student.grad.isfinite().all()


@pytest.mark.parametrize("wrong", [lambda: JensenShannon(0.0), lambda: JensenShannon(1.0), lambda: SkewedKL(-0.1)])
def test_impossible_settings(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"divergence: (beta|alpha) is .*; it must lie in \(0, 1\)"):
        wrong()
