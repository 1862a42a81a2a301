"""The loss of Khosla et al. against a double loop of its formula."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import SupervisedContrastive
from research.objectives.supervised_contrastive import supervised_contrastive
from research.step import Clean

LABELS = [0, 1, 0, 2, 1, 0, 3, 1]  # two texts are alone in their classes


def by_hand(embeddings: Tensor, labels: Sequence[int], temperature: float) -> float:
    z = embeddings.detach().numpy() / np.linalg.norm(embeddings.detach().numpy(), axis=1, keepdims=True)
    losses = []
    for i in range(len(z)):
        others = [math.exp(z[i] @ z[k] / temperature) for k in range(len(z)) if k != i]
        positives = [p for p in range(len(z)) if p != i and labels[p] == labels[i]]
        if positives:
            terms = [math.log(math.exp(z[i] @ z[p] / temperature) / sum(others)) for p in positives]
            losses.append(-sum(terms) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_double_loop(temperature: float) -> None:
    embeddings = torch.randn(8, 5, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
    labels = torch.tensor(LABELS)
    loss = supervised_contrastive(embeddings, labels, temperature)
    assert loss.item() == pytest.approx(by_hand(embeddings, LABELS, temperature), abs=1e-9)
    assert torch.autograd.gradcheck(lambda h: supervised_contrastive(h, labels, temperature), embeddings)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_texts_without_a_positive(labels: list[int]) -> None:
    embeddings = torch.randn(len(labels), 4).requires_grad_()
    loss = supervised_contrastive(embeddings, torch.tensor(labels), 0.1)
    assert loss.item() == 0.0
    loss.backward()
    assert embeddings.grad is not None and not embeddings.grad.any()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_two_passes_of_a_task(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, objective = tiny(name), SupervisedContrastive("s", 0.5, other_view=Clean(1))
    objective.build(student, {"s": StreamInfo("classify", tuple("abcd"))})
    batch = batch_of(student, texts, objective.views(), LABELS)
    embeddings = student.embedding(student(batch.views[Clean()]))
    expected = by_hand(torch.cat([embeddings, embeddings]), [*LABELS, *LABELS], 0.5)
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(expected, abs=1e-6)


def test_projection_is_trained_and_is_no_part_of_the_student(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    student, objective = tiny("bert"), SupervisedContrastive("s", 0.5, projection=8)
    names = {name for name, _ in student.named_parameters()}
    objective.build(student, {"s": StreamInfo("classify", tuple("abcd"))})
    objective.double()
    batch = batch_of(student, texts, objective.views(), LABELS)
    first, _, last = objective.projection
    wide = student.embedding(student(batch.views[Clean()])) @ first.weight.T + first.bias
    expected = by_hand(wide.clamp(min=0) @ last.weight.T + last.bias, LABELS, 0.5)
    loss = objective(step_of(objective, student, batch))
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert last.weight.shape == (8, 32) and last.weight.grad.any() and first.weight.grad.any()
    assert {name for name, _ in student.named_parameters()} == names


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"projection": 0}, "projection is 0; it must be at least 1"),
        ({"other_view": Clean()}, "other_view equals view"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        SupervisedContrastive("s", **settings)


def test_it_needs_classes(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"SupervisedContrastive reads streams of problem classify; data.streams.s is"):
        SupervisedContrastive("s").check("scl", tiny("bert").family, {"s": StreamInfo("unlabelled")}, None)
