"""Distillation of embeddings against cosines in numpy."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import EmbeddingDistillation
from research.objectives.embedding_distillation import embedding_loss
from research.step import Clean

X, Y = (torch.randn(6, 5, dtype=torch.float64, generator=torch.manual_seed(seed)) for seed in (0, 1))


def expected(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(x, y, strict=True)]))


def test_formula() -> None:
    assert embedding_loss(X, Y).item() == pytest.approx(expected(X.numpy(), Y.numpy()), abs=1e-12)
    assert embedding_loss(3 * X, X).item() == pytest.approx(0.0, abs=1e-12), "lengths are free"
    assert embedding_loss(-X, X).item() == pytest.approx(2.0)
    assert torch.autograd.gradcheck(lambda x: embedding_loss(x, Y), X.clone().requires_grad_())


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_of_pooled_embeddings(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    objective = EmbeddingDistillation("s")
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [Clean()])
    tokens = batch.views[Clean()]
    mine = student.embedding(student(tokens))
    theirs = teacher.student.embedding(teacher.encode(tokens))
    loss = objective(step_of(objective, student, batch, teacher))
    assert loss.item() == pytest.approx(expected(mine.detach().numpy(), theirs.numpy()), abs=1e-9)
    loss.backward()
    assert any(p.grad is not None for p in student.parameters())


def test_refusals(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any) -> None:
    with pytest.raises(UserError, match=r"model.objectives.keep: EmbeddingDistillation needs model.teacher"):
        EmbeddingDistillation("s").check("keep", tiny("bert").family, {"s": StreamInfo("unlabelled")}, None)
    student, objective = tiny("bert"), EmbeddingDistillation("s")
    teacher = teacher_of(tiny("bert", architecture={"hidden_size": 16}))
    learns(objective, student, teacher)
    with pytest.raises(UserError, match="its embeddings have 16 numbers, the student's 32"):
        objective(step_of(objective, student, batch_of(student, texts, [Clean()]), teacher))
