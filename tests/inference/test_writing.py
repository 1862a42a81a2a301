"""What a student writes, against transformers with one source at a time and no padding."""

from typing import Any

import pytest
import torch

from research.data.stream import StreamInfo
from research.inference.predict import predict
from research.step import Clean


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_texts_are_the_greedy_ones_of_each_source_alone(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name, seed=3)
    batch = batch_of(student, texts, [Clean()])
    rows = predict(student, "s", StreamInfo("generate", max_target_length=9), batch)
    for text, row in zip(texts, rows, strict=True):
        ids = torch.tensor([[*student.tokenizer(text, add_special_tokens=False)["input_ids"], student.vocabulary.end]])
        kept = dict(max_new_tokens=9, do_sample=False, eos_token_id=student.vocabulary.end)
        if name == "t5":
            start = student.vocabulary.start
            written = student.model.generate(input_ids=ids, decoder_start_token_id=start, **kept)[0, 1:]
        else:
            written = student.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=student.vocabulary.pad, **kept
            )[0, ids.shape[1] :]
        assert row == {"text": student.tokenizer.decode(written, skip_special_tokens=True)}
    assert len({row["text"] for row in rows}) > 1


def test_a_source_that_leaves_no_room_gets_no_text(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("gpt2", architecture={"n_positions": 8})
    batch = batch_of(student, [" ".join(texts)], [Clean()])
    tokens = batch.views[Clean()]
    tokens.ids, tokens.mask = tokens.ids[:, :8], tokens.mask[:, :8]
    assert predict(student, "s", StreamInfo("generate"), batch) == [{"text": ""}]
