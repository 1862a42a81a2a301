"""Span corruption against the loss of transformers' T5ForConditionalGeneration on the same weights."""

from typing import Any

import pytest
import torch

from research.data.batch import IGNORE
from research.data.masking import SpanCorrupted
from research.errors import UserError
from research.objectives import SpanCorruption


@pytest.mark.parametrize("scaled", [True, False])
def test_loss_is_transformers(scaled: bool, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """As published T5 (decoder output scaled by d^-1/2, its embedding tied) and T5 v1.1 (not scaled)."""
    objective = SpanCorruption("s", density=0.3, mean_length=2.0)
    student = tiny("t5", architecture={"tie_word_embeddings": scaled})
    batch = batch_of(student, texts, objective.views())
    tokens = batch.views[SpanCorrupted(0.3, 2.0)]
    out = student.model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), labels=tokens.labels)
    torch.testing.assert_close(objective(step_of(objective, student, batch)), out.loss, rtol=0, atol=1e-6)
    shifted = student.model.prepare_decoder_input_ids_from_labels(tokens.labels)
    real = tokens.labels != IGNORE
    assert torch.equal(tokens.decoder_ids[real], shifted[real])

    width = student.model.config.d_model
    hidden = student.model.decoder(
        input_ids=shifted,
        encoder_hidden_states=out.encoder_last_hidden_state,
        encoder_attention_mask=tokens.mask.long(),
    ).last_hidden_state[real]
    logits = hidden * (width**-0.5 if scaled else 1.0) @ student.model.get_output_embeddings().weight.T
    by_hand = -logits.log_softmax(-1).gather(1, tokens.labels[real][:, None]).mean()
    torch.testing.assert_close(by_hand, out.loss, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("density", "mean_length"), [(0.0, 3.0), (1.0, 3.0), (0.15, 0.5)])
def test_impossible_spans(density: float, mean_length: float) -> None:
    with pytest.raises(UserError, match=r"span density is .*|mean span length is 0.5"):
        SpanCorruption("s", density, mean_length)
