"""Mixup against soft labels in numpy, by hand, and by gradcheck."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.augment import TokenCutoff
from research.errors import UserError
from research.objectives import Classification, Mixup
from research.objectives.mixup import mix

LABELS = [0, 1, 2, 1, 0, 2, 2, 1]


def test_by_hand() -> None:
    h = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    mixed = mix(h, torch.tensor([1, 0]), torch.tensor(0.25, dtype=torch.float64))
    assert mixed.tolist() == [[0.25, 3.0], [0.75, 1.0]]


def test_gradcheck() -> None:
    h = torch.randn(4, 3, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    share = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.autograd.gradcheck(lambda a, s: mix(a, order, s).tanh(), (h, share))


def drawn(n: int, alpha: float) -> tuple[list[int], float]:
    """The order and share that torch's generator gives after ``manual_seed(0)``."""
    torch.manual_seed(0)
    order = torch.randperm(n)
    return order.tolist(), torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample().item()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_soft_labels(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    """The loss is the cross entropy to the mixed one-hot labels, at the head's map of the mixed embeddings."""
    student, objective = tiny(name), Mixup("s", alpha=0.7)
    head = classify(objective, student, 3)
    batch = batch_of(student, texts, objective.views(), LABELS)
    with torch.no_grad():
        h = student.embedding(student(next(iter(batch.views.values())))).numpy()
    order, share = drawn(len(texts), 0.7)
    mixed = np.stack([share * h[i] + (1 - share) * h[j] for i, j in enumerate(order)])
    soft = share * np.eye(3)[LABELS] + (1 - share) * np.eye(3)[LABELS][order]
    z = mixed @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    torch.manual_seed(0)
    loss = objective(step_of(objective, student, batch))
    assert loss.item() == pytest.approx(-(soft * log_p).sum(1).mean(), abs=1e-6)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.model.parameters())


def test_several_labels(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    """Indicators mix likewise, with class weights and smoothing."""
    student, objective = tiny("bert"), Mixup("s", 0.5, {"b": 3.0}, label_smoothing=0.2)
    head = classify(objective, student, 2, "multilabel")
    indicators = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1], [1, 1], [1, 0]], dtype=np.float64)
    batch = batch_of(student, texts, objective.views(), indicators)
    with torch.no_grad():
        h = student.embedding(student(next(iter(batch.views.values()))))
    order, share = drawn(len(texts), 0.5)
    z = (share * h + (1 - share) * h[order]) @ head.weight.T + head.bias
    p = 1 / (1 + np.exp(-z.detach().numpy()))
    target = (share * indicators + (1 - share) * indicators[order]) * 0.8 + 0.1
    expected = -(np.array([1.0, 3.0]) * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    torch.manual_seed(0)
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(expected, abs=1e-6)


def test_measures_what_classification_measures(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    results = []
    for objective in (Mixup("s", alpha=5.0), Classification("s")):
        student = tiny("bert")
        classify(objective, student, 3)
        batch = batch_of(student, texts, objective.views(), LABELS)
        objective.measure(step_of(objective, student, batch))
        results.append(objective.results())
    assert results[0] == results[1] and set(results[0]) == {"loss", "accuracy", "macro_f1", "mcc", "calibration_error"}


def test_reads_another_view() -> None:
    assert Mixup("s", view=TokenCutoff(0.2)).views() == (TokenCutoff(0.2),)


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_impossible_alpha(alpha: float) -> None:
    with pytest.raises(UserError, match=r"alpha is .*; it must be above 0"):
        Mixup("s", alpha)
