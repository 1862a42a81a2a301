"""Masked language modelling against the loss of transformers' BertForMaskedLM on the same weights."""

from typing import Any

import pytest
import torch

from research.data.masking import Masked
from research.errors import UserError
from research.objectives import MaskedLM


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize("probability", [0.15, 0.6])
def test_loss_and_gradient_are_transformers(
    probability: float, whole_word: bool, tiny: Any, texts: list[str], batch_of: Any, step_of: Any
) -> None:
    objective = MaskedLM("s", probability, whole_word)
    student = tiny("bert")
    batch = batch_of(student, texts, objective.views())
    tokens = batch.views[Masked(probability, whole_word)]
    parameters = list(student.parameters())
    expected = student.model(
        input_ids=tokens.ids,
        attention_mask=tokens.mask.long(),
        token_type_ids=tokens.types,
        labels=tokens.labels,
    ).loss
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(loss, parameters, allow_unused=True),
        torch.autograd.grad(expected, parameters, allow_unused=True),
        strict=True,
    ):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_pairs_keep_their_token_types(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    objective, student = MaskedLM("s", 0.5), tiny("bert")
    batch = batch_of(student, texts, objective.views(), seconds=texts[::-1])
    tokens = batch.views[Masked(0.5)]
    assert tokens.types.any()
    expected = student.model(
        input_ids=tokens.ids,
        attention_mask=tokens.mask.long(),
        token_type_ids=tokens.types,
        labels=tokens.labels,
    ).loss
    torch.testing.assert_close(objective(step_of(objective, student, batch)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_impossible_probability(probability: float) -> None:
    with pytest.raises(UserError, match=r"masking probability is .*; it must lie in \(0, 1\)"):
        MaskedLM("s", probability)
