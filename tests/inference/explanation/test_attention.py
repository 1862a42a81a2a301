"""Attention maps against those that Transformers gives, and their rollout by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.inference import Model
from research.inference.explanation.attention import attention_maps, rollout
from research.inference.explanation.reading import read

TEXT = "the old valley was seen from a bridge"


def model_of(student: Any) -> Model:
    student.add_head("s", 2)
    return Model(student.double().eval(), {"s": StreamInfo("classify", ("a", "b"))})


def halves(model: Model, reading: Any) -> Any:
    """Each layer's mean map and what passes by it, in halves."""
    maps = attention_maps(model, reading).double().mean(1).numpy()
    return (maps + np.eye(len(reading.pieces))) / 2


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_maps(name: str, tiny: Any) -> None:
    model = model_of(tiny(name))
    reading = read(model, TEXT)
    found = attention_maps(model, reading)
    ids = next(iter(reading.batch.views.values())).ids
    transformer = model.student.model
    transformer = transformer.get_encoder() if name == "t5" else transformer.base_model
    transformer.set_attn_implementation("eager")
    with torch.no_grad():
        expected = torch.cat(transformer(input_ids=ids, output_attentions=True).attentions)
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:3]))


def test_rollout_by_hand(tiny: Any) -> None:
    model = model_of(tiny("bert"))
    reading = read(model, TEXT)
    one, two = (
        (each.double().mean(0).numpy() + np.eye(len(reading.pieces))) / 2 for each in attention_maps(model, reading)
    )
    np.testing.assert_allclose(rollout(model, reading), (two @ one).mean(0), rtol=1e-6)
    assert rollout(model, reading).sum() == pytest.approx(1)


def test_rollout_of_a_decoder_is_that_of_its_last_token(tiny: Any) -> None:
    model = model_of(tiny("gpt2"))
    reading = read(model, TEXT)
    one, two = (
        (each.double().mean(0).numpy() + np.eye(len(reading.pieces))) / 2 for each in attention_maps(model, reading)
    )
    np.testing.assert_allclose(rollout(model, reading), (two @ one)[-1], rtol=1e-6)
