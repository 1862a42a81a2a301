"""RecAdam against its formula in numpy, at both ends of its annealing, and resumed."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from research.errors import UserError
from research.optimisation import Optimisation
from research.optimisers import RecAdam
from research.schedules import Constant, Linear


def parameters(seed: int = 0) -> list[tuple[str, nn.Parameter]]:
    generator = torch.manual_seed(seed)
    shapes = {"layer.weight": (3, 4), "layer.bias": (4,), "head.weight": (2, 3)}
    return [(n, nn.Parameter(torch.randn(*s, generator=generator, dtype=torch.float64))) for n, s in shapes.items()]


def depth_of(name: str) -> int | None:
    return None if name.startswith("head") else 1


def gradients(step: int, named: Any) -> None:
    generator = torch.manual_seed(100 + step)
    for _, p in named:
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)


def chosen(schedule: Any = None, lr: float = 0.01, weight_decay: float = 0.0, **given: Any) -> Optimisation:
    optimiser = lambda groups: RecAdam(groups, **given)  # noqa: E731
    return Optimisation(lr, weight_decay, schedule=schedule or Linear(0), optimiser=optimiser)


def test_formula() -> None:
    """Five steps with a falling rate; the head is not pulled."""
    named = parameters()
    k, t0, gamma, betas, eps = 0.8, 3.0, 40.0, (0.8, 0.95), 1e-6
    optimiser, schedule = chosen(k=k, t0=t0, gamma=gamma, betas=betas, eps=eps).build(named, depth_of, 1, 5)
    first = {n: p.detach().numpy().copy() for n, p in named}
    expected = {n: (w.copy(), np.zeros_like(w), np.zeros_like(w)) for n, w in first.items()}
    for t in range(1, 6):
        gradients(t, named)
        rate, share = 0.01 * (5 - (t - 1)) / 5, 1 / (1 + math.exp(-k * (t - t0)))
        for name, p in named:
            w, m, v = expected[name]
            g = p.grad.numpy()
            m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
            adam = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
            if name.startswith("head"):
                w = w - rate * adam
            else:
                w = w - rate * (share * adam + (1 - share) * gamma * (w - first[name]))
            expected[name] = w, m, v
        optimiser.step()
        schedule.step()
    for name, p in named:
        np.testing.assert_allclose(p.detach().numpy(), expected[name][0], rtol=1e-9, atol=1e-12)
    assert optimiser.param_groups[0]["lr"] == 0.0


def test_long_after_the_turn_it_is_adamw() -> None:
    both = []
    for settings in (chosen(t0=0, k=50.0, gamma=10.0, weight_decay=0.1), Optimisation(0.01, 0.1, schedule=Linear(0))):
        named = parameters()
        optimiser, schedule = settings.build(named, depth_of, 1, 9)
        for t in range(4):
            gradients(t, named)
            optimiser.step()
            schedule.step()
        both.append([p.detach() for _, p in named])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_long_before_the_turn_it_only_recalls() -> None:
    named = parameters()
    optimiser, _ = chosen(schedule=Constant(0), t0=1e6, k=1.0, gamma=50.0).build(named, depth_of, 1, 9)
    start = named[0][1].detach().clone()
    gradients(0, named)
    optimiser.step()
    torch.testing.assert_close(named[0][1].detach(), start)
    with torch.no_grad():
        named[0][1].add_(1.0)
    gradients(1, named)
    optimiser.step()
    torch.testing.assert_close(named[0][1].detach() - start, torch.full((3, 4), 0.5, dtype=torch.float64))


def test_goes_on_from_its_state() -> None:
    """Saved after two of four steps, and loaded beside weights that are no longer the first."""
    whole, settings = parameters(), chosen(schedule=Constant(0), t0=2, k=0.5, gamma=60.0)
    optimiser, _ = settings.build(whole, depth_of, 1, 4)
    for t in range(4):
        if t == 2:
            state = copy.deepcopy(optimiser.state_dict())
            half = [(n, nn.Parameter(p.detach().clone())) for n, p in whole]
            resumed, _ = settings.build(half, depth_of, 1, 4)
            resumed.load_state_dict(state)
        gradients(t, whole)
        optimiser.step()
    for t in (2, 3):
        gradients(t, half)
        resumed.step()
    for (_, one), (_, other) in zip(whole, half, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0.0}, "k is 0.0"),
        ({"t0": -1.0}, "t0 is -1.0"),
        ({"gamma": 101.0}, r"gamma is 101.0; at a rate of 0.01 it must lie in \[0, 100\]"),
    ],
)
def test_impossible_settings(given: dict, message: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.optimisation\.optimiser: {message}"):
        chosen(**given).build(parameters(), depth_of, 1, 5)
