"""Relational distillation against loops over pairs and triplets."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import Relational
from research.objectives.relational import relational_loss
from research.step import Clean

X, Y = (torch.randn(6, width, dtype=torch.float64, generator=torch.manual_seed(width)) for width in (4, 7))


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) <= 1 else abs(difference) - 0.5


def expected(x: np.ndarray, y: np.ndarray, distance: float, angle: float) -> float:
    n, terms = len(x), []
    pairs = list(itertools.permutations(range(n), 2))
    means = [np.mean([np.linalg.norm(z[i] - z[j]) for i, j in pairs]) for z in (x, y)]
    for i, j in pairs:
        first, second = (np.linalg.norm(z[i] - z[j]) / m for z, m in zip((x, y), means, strict=True))
        terms.append(huber(first - second))
    corners = []
    for i, j, k in itertools.permutations(range(n), 3):

        def cosine(z: np.ndarray, i: int = i, j: int = j, k: int = k) -> float:
            a, b = z[i] - z[j], z[k] - z[j]
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        corners.append(huber(cosine(x) - cosine(y)))
    return float(distance * np.mean(terms) + angle * np.mean(corners))


@pytest.mark.parametrize(("distance", "angle"), [(1.0, 2.0), (1.0, 0.0), (0.0, 1.0)])
def test_formula(distance: float, angle: float) -> None:
    loss = relational_loss(X, Y, distance, angle)
    assert loss.item() == pytest.approx(expected(X.numpy(), Y.numpy(), distance, angle), abs=1e-9)
    assert torch.autograd.gradcheck(lambda x: relational_loss(x, Y, distance, angle), X.clone().requires_grad_())


def test_what_keeps_the_shape_costs_nothing() -> None:
    """A turn, a shift and a scale in any number of dimensions."""
    turn = torch.linalg.qr(torch.randn(9, 4, dtype=torch.float64)).Q
    assert relational_loss(X @ turn.T * 3 + 1, X, 1.0, 2.0) < 1e-12


def test_equal_and_few_texts_leave_a_finite_gradient() -> None:
    for same in (torch.ones(4, 3), torch.ones(2, 3)):
        x = same.requires_grad_()
        relational_loss(x, torch.randn(len(x), 5), 1.0, 2.0).backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_of_pooled_embeddings(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    objective = Relational("s")
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [Clean()])
    tokens = batch.views[Clean()]
    mine = student.embedding(student(tokens))
    theirs = teacher.student.embedding(teacher.encode(tokens))
    loss = objective(step_of(objective, student, batch, teacher))
    assert loss.item() == pytest.approx(expected(mine.detach().numpy(), theirs.numpy(), 1.0, 2.0), abs=1e-9)
    loss.backward()
    assert any(p.grad is not None for p in student.parameters())


def test_refusals(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"angle is -1.0; it must be at least 0"):
        Relational("s", angle=-1.0)
    with pytest.raises(UserError, match=r"model.objectives.rkd: Relational needs model.teacher"):
        Relational("s").check("rkd", tiny("bert").family, {"s": StreamInfo("unlabelled")}, None)
