"""Causal language modelling against the loss of transformers' GPT2LMHeadModel on the same weights."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from research.data.batch import IGNORE
from research.data.masking import NextToken
from research.objectives import CausalLM


@pytest.mark.parametrize("pairs", [False, True])
def test_loss_is_transformers(pairs: bool, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """Transformers shifts the labels in the model; ours are shifted when the row is laid out."""
    objective, student = CausalLM("s"), tiny("gpt2")
    batch = batch_of(student, texts, objective.views(), seconds=texts[::-1] if pairs else None)
    tokens = batch.views[NextToken()]
    assert not tokens.mask.all(), "the texts differ in length"
    labels = tokens.ids.masked_fill(~tokens.mask, IGNORE)
    out = student.model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), labels=labels)
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss.float(), out.loss, rtol=0, atol=1e-5)  # transformers computes it in float32
    expected = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)


def test_each_token_and_the_end_is_predicted_once(tiny: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    tokens = batch_of(student, ["the river runs"], [NextToken()]).views[NextToken()]
    ids = student.tokenizer("the river runs")["input_ids"]
    assert tokens.ids[0].tolist() == [*ids, student.tokenizer.eos_token_id]
    assert tokens.labels[0].tolist() == [*ids[1:], student.tokenizer.eos_token_id, IGNORE]
