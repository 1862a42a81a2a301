"""Prototypical networks against the formula in numpy and scikit-learn's nearest centroid."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import NearestCentroid

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import Prototypical
from research.objectives.prototypical import prototypical
from research.step import Clean

LABELS = [4, 1, 4, 1, 1, 4, 4, 2]  # two support examples of each; queries 4 to 6; class 2 has a support alone


def test_formula() -> None:
    h = torch.randn(8, 5, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    x = h.detach().numpy()
    prototypes = {1: x[[1, 3]].mean(0), 2: x[7], 4: x[[0, 2]].mean(0)}
    log_p, classes, labels = prototypical(h, torch.tensor(LABELS), 2)
    assert classes.tolist() == [1, 2, 4] and labels.tolist() == [1, 4, 4]
    for row, query in zip(log_p, (4, 5, 6), strict=True):
        near = np.array([-((x[query] - prototypes[c]) ** 2).sum() for c in (1, 2, 4)])
        np.testing.assert_allclose(row.detach().numpy(), near - np.log(np.exp(near).sum()), atol=1e-9)
    assert torch.autograd.gradcheck(lambda e: prototypical(e, torch.tensor(LABELS), 2)[0], h)


def test_a_query_on_its_prototype_has_a_gradient() -> None:
    h = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    log_p, _, _ = prototypical(h, torch.tensor([0, 1, 0]), 1)
    (gradient,) = torch.autograd.grad(-log_p[0, 0], h)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_objective(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """The loss of one episode, and the figures of held-out batches taken together."""
    student, objective = tiny(name), Prototypical("s", shots=2)
    objective.check("name", student.family, {"s": StreamInfo("classify", tuple("abcde"))}, None)
    objective.build(student, {"s": StreamInfo("classify", tuple("abcde"))})
    batch = batch_of(student, texts, [Clean()], LABELS)
    h = student.embedding(student(batch.views[Clean()]))
    log_p, _, _ = prototypical(h, torch.tensor(LABELS), 2)
    loss = objective(step_of(objective, student, batch))
    assert loss.item() == pytest.approx(-log_p[[0, 1, 2], [0, 2, 2]].mean().item(), abs=1e-9)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.model.parameters())

    for rows in (slice(0, 3), slice(3, 8)):
        with torch.no_grad():
            objective.measure(step_of(objective, student, batch_of(student, texts[rows], [Clean()], LABELS[rows])))
    x = h.detach().numpy()
    known = NearestCentroid().fit(x[[1, 3, 7, 0, 2]], [1, 1, 2, 4, 4])
    predicted = known.predict(x[[4, 5, 6]])
    results = objective.results()
    assert results["accuracy"] == pytest.approx(accuracy_score([1, 4, 4], predicted), abs=1e-6)
    assert results["macro_f1"] == pytest.approx(f1_score([1, 4, 4], predicted, average="macro"), abs=1e-6)
    assert results["loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_batch_without_a_query(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, objective = tiny("bert"), Prototypical("s", shots=1)
    loss = objective(step_of(objective, student, batch_of(student, texts[:2], [Clean()], [0, 1])))
    assert loss.item() == 0.0
    loss.backward()
    objective.measure(step_of(objective, student, batch_of(student, texts[:2], [Clean()], [0, 1])))
    with pytest.raises(UserError, match="shots is 1; the held-out texts of s have no more of any class"):
        objective.results()


def test_shots() -> None:
    with pytest.raises(UserError, match="shots is 0; it must be at least 1"):
        Prototypical("s", 0)
