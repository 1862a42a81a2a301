"""MoCo's loss by its formula, its queue over some steps, and a run of it that is stopped."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import EMATeacher
from research.objectives import MomentumContrast
from research.objectives.momentum_contrast import queue_contrast
from research.step import Clean, Step


def by_hand(queries: np.ndarray, keys: np.ndarray, queue: np.ndarray, temperature: float) -> float:
    losses = []
    for q, k in zip(queries, keys, strict=True):
        own, others = math.exp(q @ k / temperature), [math.exp(q @ m / temperature) for m in queue]
        losses.append(-math.log(own / (own + sum(others))))
    return sum(losses) / len(losses)


def test_formula() -> None:
    queries, keys, queue = F.normalize(torch.randn(3, 6, 5, dtype=torch.float64, generator=torch.manual_seed(0)), dim=2)
    half = torch.cat([queue, torch.zeros_like(queue)])
    expected = by_hand(queries.numpy(), keys.numpy(), queue.numpy(), 0.2)
    assert queue_contrast(queries, keys, half, 0.2).item() == pytest.approx(expected, abs=1e-9)
    assert torch.autograd.gradcheck(lambda q: queue_contrast(q, keys, half, 0.2), queries.requires_grad_())
    assert queue_contrast(queries, keys, torch.zeros_like(queue), 0.2) == 0.0


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_steps_of_a_run(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Three steps of plain gradient descent, followed by hand: who the keys come from, and which are kept."""
    student, objective, teacher = tiny(name), MomentumContrast("s", temperature=0.5, queue=10), EMATeacher(0.9)
    objective.check("moco", student.family, {"s": StreamInfo("unlabelled")}, teacher)
    teacher.check(student, {})
    objective.build(student, {})
    objective.double()
    teacher.follow(student)
    slow = tiny(name)
    queue = np.zeros((0, student.width))
    for step in range(3):
        batch = batch_of(student, texts[step : step + 4], [Clean()])
        tokens = batch.views[Clean()]
        with torch.no_grad():
            fast, keys = (F.normalize(model.embedding(model(tokens)), dim=1).numpy() for model in (student, slow))
        loss = objective(Step({"s": batch}, student, teacher, {"s": objective.views()}))
        assert loss.item() == pytest.approx(by_hand(fast, keys, queue, 0.5), abs=1e-6)
        queue = np.concatenate([keys, queue])[:10]
        loss.backward()
        with torch.no_grad():
            for moved, followed in zip(student.parameters(), slow.parameters(), strict=True):
                if moved.grad is not None:
                    moved -= 0.05 * moved.grad
                    moved.grad = None
                followed.copy_(0.9 * followed + 0.1 * moved)
        teacher.follow(student)
    assert step == 2 and loss > 0.1
    torch.testing.assert_close(objective.queue, torch.from_numpy(queue), rtol=0, atol=1e-6)
    with torch.no_grad():
        before = objective.queue.clone()
        objective.measure(Step({"s": batch}, student, teacher, {"s": objective.views()}))
    assert torch.equal(objective.queue, before), "validation leaves no keys"


def test_it_needs_a_teacher(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"model.objectives.moco: its keys need model.teacher"):
        MomentumContrast("s").check("moco", tiny("bert").family, {"s": StreamInfo("unlabelled")}, None)


@pytest.mark.parametrize("name", ["temperature", "queue"])
def test_impossible_settings(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"{name} is 0; it must be"):
        MomentumContrast("s", **settings)
