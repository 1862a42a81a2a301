"""Linear maps by oneDNN against torch's own."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from research.models.linear import Linear, linear, use_fast_linear

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")


@pytest.fixture
def given() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return tuple(torch.randn(shape).requires_grad_() for shape in ((2, 5, 7), (4, 7), (4,)))  # type: ignore[return-value]


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_of_first_and_second_order(given: tuple[Tensor, Tensor, Tensor], bias: bool) -> None:
    x, weight, b = given
    inputs = [x, weight, *([b] if bias else [])]

    def results(product: Any) -> list[Tensor]:
        out = product(x, weight, b if bias else None)
        first = torch.autograd.grad(out.sin().sum(), inputs, create_graph=True)
        return [out, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)]

    for expected, got in zip(results(F.linear), results(linear), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert linear(*given).grad_fn.name() == "ProductBackward"  # type: ignore[union-attr]


def test_only_what_needs_a_gradient_gets_one(given: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, b = given
    weight.requires_grad_(False)
    linear(x, weight, b).sum().backward()
    assert weight.grad is None
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight.sum(0).expand_as(x))
    assert not linear(x.detach(), weight, b.detach()).requires_grad


def test_other_precisions_are_torchs(given: tuple[Tensor, Tensor, Tensor]) -> None:
    wide = linear(*(t.double() for t in given))
    assert wide.dtype == torch.float64
    assert wide.grad_fn.name() != "ProductBackward"  # type: ignore[union-attr]
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(*given).dtype == torch.bfloat16
    assert linear(given[0][:0], *given[1:]).shape == (0, 5, 4)


def test_a_bert_with_it() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    plain = BertModel(BertConfig(vocab_size=50, **sizes)).eval()
    fast = copy.deepcopy(plain)
    use_fast_linear(fast)
    assert sum(type(m) is Linear for m in fast.modules()) == sum(type(m) is nn.Linear for m in plain.modules()) == 13
    assert list(fast.state_dict()) == list(plain.state_dict())
    ids = torch.randint(50, (3, 6))
    for model in (plain, fast):
        model(ids).last_hidden_state.square().sum().backward()
    for (name, p), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(other.grad, p.grad, rtol=1e-4, atol=1e-4, msg=name)
