"""What language-model objectives share: chunks of the vocabulary, batches without a loss, perplexity."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from research.data.batch import IGNORE
from research.models import heads
from research.models.heads import VocabularyHead
from research.objectives import CausalLM, MaskedLM, SpanCorruption

OBJECTIVES = {"bert": MaskedLM("s", 0.4), "gpt2": CausalLM("s"), "t5": SpanCorruption("s", 0.4)}


def gradients(loss: torch.Tensor, student: Any) -> dict[str, torch.Tensor]:
    student.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_change_neither_loss_nor_gradient(
    name: str, chunk: int, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, monkeypatch: Any
) -> None:
    objective, student = OBJECTIVES[name], tiny(name)
    batch = batch_of(student, texts, objective.views())
    whole = objective(step_of(objective, student, batch))
    expected = gradients(whole, student)

    largest = []
    linear_cross_entropy = F.linear_cross_entropy

    def watched(features: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        largest.append(len(features))
        return linear_cross_entropy(features, *args, **more)

    monkeypatch.setattr(heads, "CHUNK", chunk)
    monkeypatch.setattr(F, "linear_cross_entropy", watched)
    loss = objective(step_of(objective, student, batch))
    got = gradients(loss, student)
    assert max(largest) == chunk and len(largest) > 2
    torch.testing.assert_close(loss, whole, rtol=0, atol=1e-12)
    assert got.keys() == expected.keys()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("chunk", [2, 1024])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_derivatives_are_numerical_ones(chunk: int, bias: bool, fused: bool, monkeypatch: Any) -> None:
    """With torch's own chunked loss, and as before torch 2.13, which has none."""
    monkeypatch.setattr(heads, "CHUNK", chunk)
    if not fused:
        monkeypatch.delattr(F, "linear_cross_entropy")
    torch.manual_seed(0)
    features, weight, offsets = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 3), (6, 3), (6,))
    )
    labels = torch.tensor([0, 5, 2, 2, 4])

    def loss(features: torch.Tensor, weight: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return VocabularyHead(features, weight, offsets if bias else None).cross_entropy(labels)

    assert torch.autograd.gradcheck(loss, (features, weight, offsets))
    logits = features @ weight.T + (offsets if bias else 0)
    by_hand = sum(-logits[i, y] + logits[i].exp().sum().log() for i, y in enumerate(labels)) / 5
    torch.testing.assert_close(loss(features, weight, offsets), by_hand, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_labelled_position_gives_zero_with_a_graph(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    objective, student = OBJECTIVES[name], tiny(name)
    batch = batch_of(student, texts, objective.views())
    for tokens in batch.views.values():
        tokens.labels.fill_(IGNORE)
    loss = objective(step_of(objective, student, batch))
    assert loss.item() == 0.0
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())
    objective.measure(step_of(objective, student, batch))
    assert objective.mean.update_count == 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_results_are_of_all_positions_of_all_batches(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    """Batches of unequal size, and the perplexity of the mean, not the mean of the perplexities."""
    objective, student = OBJECTIVES[name].double(), tiny(name)
    probabilities, labels = [], []
    with torch.no_grad():
        for part in (texts[:1], texts[1:6], texts[6:]):
            batch = batch_of(student, part, objective.views())
            objective.measure(step_of(objective, student, batch))
            (tokens,) = batch.views.values()
            given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
            logits = student.model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **given).logits
            where = tokens.labels != IGNORE
            probabilities.append(logits[where].double().softmax(-1).numpy())
            labels.append(tokens.labels[where].numpy())
    results = objective.results()
    vocabulary = np.arange(probabilities[0].shape[1])
    expected = log_loss(np.concatenate(labels), np.concatenate(probabilities), labels=vocabulary)
    assert results["loss"] == pytest.approx(expected, abs=1e-5)
    assert results["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    assert objective.mean.update_count == 0, "the next measurement starts anew"
