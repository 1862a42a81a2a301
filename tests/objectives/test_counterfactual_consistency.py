"""Counterfactual consistency against scipy, over the texts that have a twin alone."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from research.objectives import CounterfactualConsistency
from research.step import Clean

TEXTS = ["she was there", "nobody was there before", "the king and his men", "a bridge"]
TWINS = ["he was there", "nobody was there before", "the queen and her women", "a bridge"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_divergence_of_twins(name: str, tiny: Any, batch_of: Any, step_of: Any, classify: Any) -> None:
    student, objective = tiny(name), CounterfactualConsistency("s")
    linear = classify(objective, student, 3)
    for view in objective.views():
        view.connect(student)
    batch = batch_of(student, TEXTS, objective.views())
    loss = objective(step_of(objective, student, batch))
    plain = [batch_of(student, texts, [Clean()]).views[Clean()] for texts in (TEXTS, TWINS)]
    p, q = (linear(student.embedding(student(tokens))).softmax(-1).detach().numpy() for tokens in plain)
    expected = (entropy(p, q, axis=-1) + entropy(q, p, axis=-1)) / 2
    assert loss.item() == pytest.approx(np.mean(expected[[0, 2]]), rel=1e-8) and loss.item() > 1e-8
    assert objective.terms(batch).item() == 2
    loss.backward()
    assert linear.weight.grad is not None and linear.weight.grad.abs().max() > 0


def test_no_twin_is_no_loss(tiny: Any, batch_of: Any, step_of: Any, classify: Any) -> None:
    student, objective = tiny("bert"), CounterfactualConsistency("s")
    classify(objective, student, 2)
    for view in objective.views():
        view.connect(student)
    loss = objective(step_of(objective, student, batch_of(student, TEXTS[1::2], objective.views())))
    assert loss.item() == 0 and loss.requires_grad
    assert torch.isfinite(loss)
