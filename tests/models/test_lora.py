"""Adapters that are added to the weights: the model computes the same, by its published names."""

import pytest
import torch

from research.models.lora import merge_lora


def test_merged_adapters_compute_the_same(tiny, texts) -> None:
    pytest.importorskip("peft")
    published = tiny("bert")
    student = tiny("bert", lora={"r": 3, "target_modules": ["query", "dense"]})  # adapters are random, too
    ids = student.tokenizer(texts[0], return_tensors="pt").input_ids
    with torch.no_grad():
        before = student.model(ids).logits
        assert any("lora" in name for name in student.model.state_dict())
        merge_lora(student.model)
        after = student.model(ids).logits
    torch.testing.assert_close(after, before)
    assert student.model.state_dict().keys() == published.model.state_dict().keys()
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert (student.model.state_dict()[query] - published.model.state_dict()[query]).abs().max() > 1e-3
