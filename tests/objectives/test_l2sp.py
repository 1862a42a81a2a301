"""L2-SP against its formula in numpy, and its way back to the start in closed form."""

from typing import Any

import pytest
import torch

from research.errors import UserError
from research.objectives import L2SP
from research.step import Step


def moved(student: Any, seed: int = 0) -> None:
    generator = torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def nothing_to_read(stream: str, *views: Any) -> Any:
    raise AssertionError("it reads no stream")


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_formula(name: str, tiny: Any) -> None:
    student, objective = tiny(name, freeze_layers=1), L2SP(alpha=0.3, beta=0.7)
    student.add_head("s", 3)
    student.double()
    objective.prepare(student, None, nothing_to_read)
    before = {n: p.detach().numpy().copy() for n, p in student.model.named_parameters()}
    moved(student)
    backbone = sum(
        ((p.detach().numpy() - before[n]) ** 2).sum() for n, p in student.model.named_parameters() if p.requires_grad
    )
    heads = sum((p.detach().numpy() ** 2).sum() for p in student.heads.parameters())
    loss = objective(Step({}, student, None, {}))
    assert loss.item() == pytest.approx(0.3 / 2 * backbone + 0.7 / 2 * heads, rel=1e-9)
    assert backbone > 0 and heads > 0


def test_way_back(tiny: Any) -> None:
    """Gradient descent on the penalty alone shrinks the distance by 1 - lr alpha a step."""
    student, objective = tiny("bert"), L2SP(alpha=0.5, beta=0.0)
    objective.prepare(student, None, nothing_to_read)
    start = [p.detach().clone() for p in student.model.parameters()]
    moved(student)
    away = [p.detach() - a for p, a in zip(student.model.parameters(), start, strict=True)]
    descent = torch.optim.SGD(student.model.parameters(), lr=0.4)
    for _ in range(3):
        descent.zero_grad()
        objective(Step({}, student, None, {})).backward()
        descent.step()
    for parameter, anchor, way in zip(student.model.parameters(), start, away, strict=True):
        torch.testing.assert_close(parameter - anchor, way * 0.8**3, rtol=1e-9, atol=1e-12)


def test_counts_in_every_step_and_adds_nothing_to_a_checkpoint(tiny: Any) -> None:
    student, objective = tiny("bert"), L2SP()
    objective.check("l2", student.family, {}, None)
    objective.prepare(student, None, nothing_to_read)
    assert objective.due({"any": None}) and objective.views() == ()
    assert sum(value.numel() for value in objective.state_dict().values()) < 10


@pytest.mark.parametrize("given", [{"alpha": -0.1}, {"beta": -1.0}])
def test_impossible_settings(given: dict) -> None:
    with pytest.raises(UserError, match=r"(alpha|beta) is -.*; it must be at least 0"):
        L2SP(**given)
