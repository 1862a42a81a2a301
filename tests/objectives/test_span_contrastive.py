"""NT-Xent against a double loop, and the spans of a text that meet in it."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from research.data.spans import AnchorSpan, PositiveSpan
from research.errors import UserError
from research.objectives import SpanContrastive
from research.objectives.span_contrastive import nt_xent


def by_hand(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """SimCLR's equation 1, summed as its algorithm 1 does."""
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n = len(first)
    scores = np.exp(z @ z.T / temperature)
    total = 0.0
    for i in range(2 * n):
        total -= math.log(scores[i, (i + n) % (2 * n)] / (scores[i].sum() - scores[i, i]))
    return total / (2 * n)


def test_double_loop() -> None:
    first, second = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = by_hand(first.numpy(), second.numpy(), 0.3)
    assert nt_xent(first, second, 0.3).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_anchors_meet_the_mean_of_their_positives(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    student, objective = tiny(name), SpanContrastive("s", 0.5, anchors=2, positives=3, shortest=2, longest=8)
    assert len(objective.views()) == 2 + 6
    batch = batch_of(student, texts, objective.views())

    def embed(view: Any) -> np.ndarray:
        return student.embedding(student(batch.views[view])).detach().numpy()

    anchors = [AnchorSpan(2, 8, draw) for draw in range(2)]
    positives = [np.mean([embed(PositiveSpan(anchor, draw)) for draw in range(3)], axis=0) for anchor in anchors]
    expected = by_hand(np.concatenate([embed(anchor) for anchor in anchors]), np.concatenate(positives), 0.5)
    loss = objective(step_of(objective, student, batch))
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()


@pytest.mark.parametrize("name", ["temperature", "anchors", "positives"])
def test_impossible_settings(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"{name} is 0; it must be"):
        SpanContrastive("s", **settings)
