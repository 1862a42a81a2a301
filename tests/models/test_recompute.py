"""What is made again in the backward pass changes no gradient, and is not kept."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPT2Config

from research.models.recompute import Remade, kept_for_backward, pack, unpack, use_recompute


def bert() -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    return AutoModelForMaskedLM.from_config(BertConfig(vocab_size=50, **sizes))


def gpt2() -> Any:
    return AutoModelForCausalLM.from_config(GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2))


def gradients(model: Any, lean: bool, ids: Tensor, autocast: bool = False) -> list[Tensor]:
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        if lean:
            with kept_for_backward():
                hidden = model.base_model(ids).last_hidden_state
        else:
            hidden = model.base_model(ids).last_hidden_state
    parameters = [p for p in model.base_model.parameters() if p.requires_grad]
    return list(torch.autograd.grad(hidden.square().sum(), parameters, allow_unused=True))


@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_equal_to_the_bit(make: Any, autocast: bool) -> None:
    torch.manual_seed(0)
    model, ids = make().train(), torch.randint(50, (3, 6))
    plain = gradients(model, False, ids, autocast)
    use_recompute(model)
    for expected, got in zip(plain, gradients(model, True, ids, autocast), strict=True):
        assert (expected is None and got is None) or torch.equal(expected, got)


def test_a_bert_layer_keeps_a_third_less() -> None:
    torch.manual_seed(0)
    model, ids = bert().train(), torch.randint(50, (3, 6))
    storages: dict[int, int] = {}
    remade: list[Remade] = []

    def note(tensor: Tensor) -> Any:
        kept = pack(tensor)
        if isinstance(kept, Remade):
            remade.append(kept)
        else:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return kept

    def bytes_kept() -> int:
        storages.clear()
        with saved_tensors_hooks(note, unpack):
            hidden = model.base_model(ids).last_hidden_state
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        del hidden
        return sum(size for at, size in storages.items() if at not in weights)

    plain = bytes_kept()
    assert not remade
    use_recompute(model)
    assert bytes_kept() < 0.75 * plain
    assert remade


def test_it_can_be_differentiated_again() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    x, parameters = torch.randn(2, 5, 4), list(model.parameters())

    def twice() -> tuple[Tensor, ...]:
        with kept_for_backward():
            first = torch.autograd.grad(model(x).square().sum(), parameters, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), parameters)

    plain = twice()
    use_recompute(model)
    for expected, got in zip(plain, twice(), strict=True):
        assert torch.equal(expected, got)


def test_what_was_changed_in_place_is_kept() -> None:
    model = nn.Sequential(nn.LayerNorm(4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    use_recompute(model)
    x = torch.randn(5, 4)
    with kept_for_backward():
        model(x).sum().backward()
    linear: Any = model[2]
    torch.testing.assert_close(linear.weight.grad, model[1](model[0](x)).sum(0).expand(3, 4))
