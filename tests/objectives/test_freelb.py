"""FreeLB against the same ascent on the embeddings that Transformers takes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from research.errors import UserError
from research.objectives import Classification, FreeLB
from research.objectives.freelb import ascend
from research.step import Clean

LABELS = [0, 1, 2, 1, 0, 2, 2, 1]


def test_ascent_by_hand() -> None:
    noise = torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]]])
    gradient = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    moved = ascend(noise, gradient, step_size=4.0, radius=4.5)
    torch.testing.assert_close(moved, torch.tensor([[[2.4, 3.2]], [[2.7, 3.6]]]))  # norm 4, and 5 scaled to 4.5


def test_formula(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    student, objective = tiny("bert"), FreeLB("s", steps=3, step_size=0.2, radius=0.5)
    linear = classify(objective, student, 3)
    batch = batch_of(student, texts, objective.views(), LABELS)
    tokens = batch.views[Clean()]

    def loss(noise: torch.Tensor) -> torch.Tensor:
        embedded = student.model.get_input_embeddings()(tokens.ids) + noise
        states = student.model.bert(inputs_embeds=embedded, attention_mask=tokens.mask.long()).last_hidden_state
        pooled = torch.stack([row[m].mean(0) for row, m in zip(states, tokens.mask, strict=True)])
        return F.cross_entropy(linear(pooled), torch.tensor(LABELS))

    torch.manual_seed(2)
    noise = torch.empty(*tokens.ids.shape, 32, dtype=torch.float64).uniform_(-0.5, 0.5)
    noise = torch.stack([n * m[:, None] / (32 * m.sum()) ** 0.5 for n, m in zip(noise, tokens.mask, strict=True)])
    losses = []
    for _ in range(3):
        losses.append(loss(noise.requires_grad_()))
        (gradient,) = torch.autograd.grad(losses[-1], noise, retain_graph=True)
        rows = [n + 0.2 * g / g.norm() for n, g in zip(noise.detach(), gradient, strict=True)]
        noise = torch.stack([row * min(1.0, 0.5 / row.norm().item()) for row in rows])
    torch.manual_seed(2)
    got = objective(step_of(objective, student, batch))
    assert got.item() == pytest.approx(sum(losses).item() / 3, rel=1e-6)
    assert losses[0] < losses[1] < losses[2]
    weight = student.model.bert.encoder.layer[0].output.dense.weight
    torch.testing.assert_close(
        torch.autograd.grad(got, weight), torch.autograd.grad(sum(losses) / 3, weight), rtol=1e-6, atol=1e-12
    )


def test_the_same_dropout_masks_in_all_steps(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    """Without a way to go, all steps have the loss of the first."""
    student = tiny("bert")
    losses = []
    for steps in (1, 3):
        objective = FreeLB("s", steps=steps, step_size=1e-12, radius=1e-12)
        classify(objective, student, 3)
        student.train()
        batch = batch_of(student, texts, objective.views(), LABELS)
        torch.manual_seed(4)
        losses.append(objective(step_of(objective, student, batch)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_encoded_in_chunks(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    """Noise goes with its rows, again in the backward pass."""
    losses, gradients = [], []
    for chunk in (None, 3):
        student, objective = tiny("bert", chunk=chunk), FreeLB("s")
        classify(objective, student, 3)
        batch = batch_of(student, texts, objective.views(), LABELS)
        torch.manual_seed(4)
        losses.append(objective(step_of(objective, student, batch)))
        losses[-1].backward()
        gradients.append(student.model.bert.encoder.layer[0].output.dense.weight.grad)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_measures_what_classification_measures(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    results = []
    for objective in (FreeLB("s"), Classification("s")):
        student = tiny("bert")
        classify(objective, student, 3)
        with torch.inference_mode():
            objective.measure(step_of(objective, student, batch_of(student, texts, objective.views(), LABELS)))
        results.append(objective.results())
    assert results[0] == results[1]


@pytest.mark.parametrize("given", [{"radius": 0.0}, {"step_size": -1.0}, {"steps": 0}])
def test_impossible_settings(given: dict) -> None:
    with pytest.raises(UserError, match=rf"^{next(iter(given))} is .*; it must be"):
        FreeLB("s", **given)
