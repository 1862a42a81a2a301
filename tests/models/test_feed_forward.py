"""A feed-forward part in blocks of rows gives what the whole gives, and keeps no more for the backward pass."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from research.models import feed_forward
from research.models.feed_forward import use_blocks
from research.models.recompute import Remade, pack, unpack, use_recompute

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 18 rows, two whole blocks and a smaller one."""
    monkeypatch.setattr(feed_forward, "ROWS", 7)


def gradients(model: Any, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
    hidden = model(ids).last_hidden_state
    parameters = [p for p in model.encoder.parameters() if p.requires_grad]
    return hidden, list(torch.autograd.grad(hidden.square().sum(), parameters))


@pytest.mark.parametrize(("model", "config"), [(BertModel, BertConfig), (RobertaModel, RobertaConfig)])
def test_states_and_gradients(model: Any, config: Any) -> None:
    torch.manual_seed(0)
    whole, ids = model(config(vocab_size=50, **SIZES)).double().eval(), torch.randint(10, 50, (3, 6))
    blocks = copy.deepcopy(whole)
    use_blocks(blocks)
    seen: list[int] = []
    for layer in blocks.encoder.layer:
        layer.intermediate.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    hidden, expected = gradients(whole, ids)
    same, got = gradients(copy.deepcopy(blocks), ids)  # a copy, such as a teacher's, computes by its own weights
    assert seen == [7, 7, 4] * 2
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        blocks.float()(ids)
    assert seen == [3] * 2  # whole
    torch.testing.assert_close(same, hidden)
    for e, g in zip(expected, got, strict=True):
        torch.testing.assert_close(g, e)


def test_inputs_of_blocks_are_made_again_row_by_row() -> None:
    """Each block's input is a part of what one norm made: that part alone is made again, to the same gradients."""
    torch.manual_seed(0)
    model, ids = BertModel(BertConfig(vocab_size=50, **SIZES)).eval(), torch.randint(50, (3, 6))
    use_blocks(model)
    _, expected = gradients(model, ids)
    use_recompute(model)
    made: list[int] = []

    def remake(kept: Any) -> Tensor:
        tensor = unpack(kept)
        if isinstance(kept, Remade):
            made.append(tensor.untyped_storage().nbytes() // (4 * tensor.shape[-1]))
        return tensor

    with saved_tensors_hooks(pack, remake):
        _, got = gradients(model, ids)
    assert {7, 4} <= {*made}
    for e, g in zip(expected, got, strict=True):
        torch.testing.assert_close(g, e, rtol=0, atol=0)
