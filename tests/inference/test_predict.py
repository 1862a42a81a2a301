"""Predictions of streams that no head knows."""

from typing import Any

import pytest
import torch

from research.data.stream import StreamInfo
from research.inference.predict import predict
from research.step import Clean


@pytest.mark.parametrize("problem", ["classify", "multilabel", "regress", "pair"])
def test_a_stream_without_a_head_gives_embeddings(problem: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("bert")
    batch = batch_of(student, texts[:2], [Clean()])
    rows = predict(student, "s", StreamInfo(problem, ("a", "b")), batch)
    tokens = batch.views[Clean()]
    with torch.no_grad():
        states = student.model.bert(input_ids=tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state
    mask = tokens.mask[..., None]
    expected = (states * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(torch.tensor([row["embedding"] for row in rows]), expected.float())
