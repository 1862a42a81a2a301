"""R-Drop and its divergence against scipy, over classes and over tokens of every family."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from research.data.masking import Masked, NextToken, SpanCorrupted
from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import RDrop
from research.objectives.smoothness import jeffreys
from research.step import Clean

TOKENS = {"bert": Masked(), "gpt2": NextToken(), "t5": SpanCorrupted()}


def probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.detach().softmax(-1).numpy()


def both_ways(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    p, q = probabilities(first), probabilities(second)
    return entropy(p, q, axis=-1) + entropy(q, p, axis=-1)


def test_jeffreys() -> None:
    generator = torch.manual_seed(0)
    first, second = (torch.randn(5, 7, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert jeffreys(first, second).detach().numpy() == pytest.approx(both_ways(first, second), rel=1e-10)
    assert torch.autograd.gradcheck(jeffreys, (first, second))
    assert jeffreys(first, first).abs().max() == 0


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_classes(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    student, objective = tiny(name), RDrop("s")
    linear = classify(objective, student, 3)
    batch = batch_of(student, texts, objective.views())
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(0, abs=1e-12)
    student.model.train()
    step = step_of(objective, student, batch)
    loss = objective(step)
    logits = [linear(student.embedding(step.encoded("s", Clean(dropout_pass=n)))) for n in (0, 1)]
    assert loss.item() == pytest.approx(both_ways(*logits).mean() / 2, rel=1e-9)
    assert loss.item() > 1e-6
    loss.backward()
    assert all(p.grad is not None for p in linear.parameters())


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_tokens(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, monkeypatch: Any) -> None:
    """Two passes over the very same tokens: without dropout they do not differ; with it, as the full logits do."""
    student, objective = tiny(name), RDrop("s", tokens=TOKENS[name])
    objective.check("rd", student.family, {"s": StreamInfo("unlabelled")}, None)
    batch = batch_of(student, texts, objective.views())
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(0, abs=1e-12)
    student.train()
    torch.manual_seed(3)
    loss = objective(step_of(objective, student, batch))
    torch.manual_seed(3)
    tokens = batch.views[TOKENS[name]]
    logits = [student.vocabulary_head(student(tokens).at_labels()[0]).logits for _ in range(2)]
    assert loss.item() == pytest.approx(both_ways(*logits).mean() / 2, rel=1e-9)


def test_has_no_figures_on_held_out_data(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, objective = tiny("bert"), RDrop("s", tokens=Masked())
    objective.measure(step_of(objective, student, batch_of(student, texts, objective.views())))
    assert objective.results() == {}


def test_refusals(tiny: Any) -> None:
    streams = {"s": StreamInfo("unlabelled"), "c": StreamInfo("classify", ("a", "b"))}
    RDrop("s", task="c").check("rd", tiny("bert").family, streams, None)
    with pytest.raises(UserError, match=r"model\.objectives\.rd: task 's' is no stream with classes; .*\['c'\]"):
        RDrop("s").check("rd", tiny("bert").family, streams, None)
    with pytest.raises(UserError, match="task and tokens exclude each other"):
        RDrop("s", task="c", tokens=Masked())
