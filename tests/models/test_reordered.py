"""Reordered weights: the same answers of each family, by weights that can still be read."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from research.models import Student
from research.models.compression import FactorisedEmbedding, LowRank
from research.models.compression.method import Compression
from research.models.reordered import Reordered, reorder
from research.precision import native_bfloat16


def logits(model: Any) -> Tensor:
    ids = torch.arange(5, 27).view(2, 11)
    given = {"input_ids": ids} | ({"decoder_input_ids": ids[:, :4]} if model.config.is_encoder_decoder else {})
    return model(**given).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_answers_are_those_of_torch(tiny: Callable[..., Student], kind: str, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not native_bfloat16():
        pytest.skip("the processor does not multiply bfloat16")
    plain = tiny(kind).model.eval().to(dtype)
    model = copy.deepcopy(plain)
    reorder(model)
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(logits(model), logits(plain), **near)
    assert sum(isinstance(module, Reordered) for module in model.modules()) >= 8
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, module in model.named_modules():
        if isinstance(module, Reordered):
            first = plain.get_submodule(name).weight
            assert any(torch.equal(module.weight.to_dense(), weight) for weight in (first, first.T)), name


@pytest.mark.parametrize("way", [LowRank(4), FactorisedEmbedding(8)], ids=lambda w: type(w).__name__)
@torch.inference_mode()
def test_a_compressed_student_answers_as_before(tiny: Callable[..., Student], kind: str, way: Compression) -> None:
    student = tiny(kind)
    way.apply(student.model, student.family)
    model = student.model.eval().float()
    before = logits(model)
    reorder(model)
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-5)
