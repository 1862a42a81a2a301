"""SMART against the same ascent on the embeddings that Transformers takes, and what its noise is worth."""

from typing import Any

import pytest
import torch

from research.errors import UserError
from research.objectives import SMART
from research.objectives.smart import ascend
from research.objectives.smoothness import jeffreys
from research.step import Clean


def test_ascent_by_hand() -> None:
    noise = torch.tensor([[[0.1, -0.1]], [[0.0, 0.2]]])
    gradient = torch.tensor([[[2.0, -1.0]], [[0.0, 0.0]]])
    moved = ascend(noise, gradient, step_size=0.1, radius=0.15)
    torch.testing.assert_close(moved, torch.tensor([[[0.15, -0.15]], [[0.0, 0.15]]]))


def hidden(student: Any, batch: Any, noise: Any) -> torch.Tensor:
    """By the argument that Transformers has for embeddings."""
    tokens, model = batch.views[Clean()], student.model
    base = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    embedded = model.get_input_embeddings()(tokens.ids) + noise
    return base(inputs_embeds=embedded, attention_mask=tokens.mask.long()).last_hidden_state


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_formula(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    student, objective = tiny(name), SMART("s", radius=0.05, step_size=0.02, steps=2, noise=0.01)
    linear = classify(objective, student, 3)
    batch = batch_of(student, texts, objective.views())
    torch.manual_seed(5)
    loss = objective(step_of(objective, student, batch))

    def logits(noise: Any) -> torch.Tensor:
        from research.step import Encoded

        states = hidden(student, batch, noise)
        return linear(student.embedding(Encoded(states, states, batch.views[Clean()])))

    torch.manual_seed(5)
    ids = batch.views[Clean()].ids
    noise = 0.01 * torch.randn(*ids.shape, 32, dtype=torch.float64)
    for _ in range(2):
        noise.requires_grad_()
        (gradient,) = torch.autograd.grad(jeffreys(logits(0.0), logits(noise)).mean(), noise)
        steps = [0.02 * g / g.abs().max() for g in gradient]
        noise = (noise.detach() + torch.stack(steps)).clamp(-0.05, 0.05)
    assert loss.item() == pytest.approx(jeffreys(logits(0.0), logits(noise)).mean().item(), rel=1e-6)
    loss.backward()
    assert all(p.grad is not None for p in linear.parameters())
    assert not student.family.input_embedding(student.model)._forward_hooks


def test_finds_worse_noise_than_chance(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    """Three steps of ascent change the predictions more than any of 20 random corners of the same box."""
    student, objective = tiny("bert"), SMART("s", radius=0.02, step_size=0.05, steps=3)
    classify(objective, student, 3)
    batch = batch_of(student, texts, objective.views())
    step = step_of(objective, student, batch)
    torch.manual_seed(0)
    found = objective(step).item()
    corner = step.no_noise("s", Clean())
    random = [
        objective.difference(step, step.again("s", Clean(), 0.02 * torch.randn_like(corner).sign())).item()
        for _ in range(20)
    ]
    assert found > 2 * max(random)


@pytest.mark.parametrize("given", [{"radius": 0.0}, {"step_size": -1.0}, {"noise": 0.0}, {"steps": 0}])
def test_impossible_settings(given: dict) -> None:
    with pytest.raises(UserError, match=rf"^{next(iter(given))} is .*; it must be"):
        SMART("s", **given)
