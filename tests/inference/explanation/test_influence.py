"""Influence against gradients that torch takes of the head."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.explanation.influence import Influence

TRAIN = ["the old valley", "a bridge of stone", "seen near the river", "the river"]
LABELS = ["a", "b", "c", "a"]


def model_of(student: Any, seed: int) -> Model:
    student.add_head("s", 3)
    torch.manual_seed(seed)
    torch.nn.init.normal_(student.heads["s"].linear.weight)
    return Model(student.double().eval(), {"s": StreamInfo("classify", ("a", "b", "c"))})


def gradient(model: Model, text: str, label: str) -> np.ndarray:
    linear = model.student.heads["s"].linear
    embedding = torch.from_numpy(model.embed([text])).double()
    loss = F.cross_entropy(linear(embedding), torch.tensor(["abc".index(label)]))
    parts = torch.autograd.grad(loss, [linear.weight, linear.bias])
    return torch.cat([part.flatten() for part in parts]).numpy()


def test_products_of_gradients_over_checkpoints(tiny: Any) -> None:
    models = [model_of(tiny("bert", seed=seed), seed) for seed in (0, 1)]
    found = Influence(models, TRAIN, LABELS)
    mine = [[gradient(m, t, label) for t, label in zip(TRAIN, LABELS, strict=True)] for m in models]
    asked = [gradient(m, "a valley", "b") for m in models]
    expected = sum(np.array(rows) @ one for rows, one in zip(mine, asked, strict=True))
    np.testing.assert_allclose(found.of(["a valley"], ["b"])[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.own(), sum((np.array(rows) ** 2).sum(1) for rows in mine), rtol=1e-4)
    named = found.strongest("a valley", "b", 2)
    order = np.argsort(-expected)
    assert [e["text"] for e in named["for"]] == [TRAIN[i] for i in order[:2]]
    assert [e["text"] for e in named["against"]] == [TRAIN[i] for i in order[::-1][:2]]


def test_refusals(tiny: Any) -> None:
    model = model_of(tiny("bert"), 0)
    with pytest.raises(UserError, match="task s: has no label 'd'; there are a, b, c"):
        Influence([model], TRAIN, ["a", "b", "c", "d"])
    other = Model(model.student, {"t": StreamInfo("classify", ("a", "b"))}, {"t": None})  # type: ignore[dict-item]
    with pytest.raises(UserError, match="task t: it has no linear head"):
        Influence([other], TRAIN, ["a", "b", "b", "a"])
