"""Blocked attention against the formula written out, and against torch's own."""

import copy

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertConfig, BertModel

from research.models import attention
from research.models.attention import BlockedAttention, use_blocked_attention
from research.models.dropout import draw, factor


def tensors(n=5, heads=2, length=7, d=4):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, heads, length, d, dtype=torch.float64, generator=generator) for _ in range(3))
    lengths = torch.tensor([7, 3, 1, 5, 7])[:n]
    mask = (torch.arange(length) < lengths[:, None])[:, None, None, :]
    return q, k, v, mask


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two texts a block, and a block of one at the end."""
    monkeypatch.setattr(attention, "BLOCK", 2 * 2 * 7 * 7)


def test_the_formula():
    q, k, v, mask = tensors()
    torch.manual_seed(5)
    keep = factor(draw((5, 2, 7, 7), 0.7), (5, 2, 7, 7))
    assert 0.6 < keep.float().mean() < 0.8
    scores = (q @ k.mT / 2).masked_fill(~mask, float("-inf"))
    expected = ((scores.softmax(-1) * keep / 0.7) @ v).transpose(1, 2)
    torch.manual_seed(5)
    out = BlockedAttention.apply(q, k, v, mask, 0.3, 0.5)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_without_dropout_it_is_torchs():
    q, k, v, mask = tensors()
    out = BlockedAttention.apply(q, k, v, mask, 2**-30, 0.5)
    expected = scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("masked", [True, False])
def test_gradients(masked):
    q, k, v, mask = tensors(n=3, length=4)
    mask = mask[:3, ..., :4] if masked else None
    inputs = [t.requires_grad_() for t in (q, k, v)]

    def attend(*qkv):
        torch.manual_seed(5)
        return BlockedAttention.apply(*qkv, mask, 0.3, 0.5)

    assert torch.autograd.gradcheck(attend, inputs)


def test_a_bert_with_it(monkeypatch):
    """In training mode with every weight kept, states and gradients are those of torch's attention."""
    config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=2**-30)  # fmt: skip
    torch.manual_seed(0)
    plain = BertModel(config).double().train()
    blocked = copy.deepcopy(plain)
    for layer in plain.encoder.layer:
        layer.attention.self.dropout.p = 0.0
    use_blocked_attention(blocked)
    assert blocked.config._attn_implementation == "blocked"
    calls = []
    weights = attention.weights
    monkeypatch.setattr(attention, "weights", lambda q, *given: calls.append(len(q)) or weights(q, *given))
    monkeypatch.setattr(attention, "factor", lambda bits, shape: torch.ones(shape, dtype=torch.uint8))
    ids, mask = torch.randint(50, (3, 6)), torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] + [0] * 5])
    states = [m(ids, attention_mask=mask).last_hidden_state for m in (plain, blocked)]
    assert calls == [2, 1] * 2
    torch.testing.assert_close(*[s[mask.bool()] for s in states], rtol=1e-7, atol=1e-7)
    for s in states:
        s[mask.bool()].square().sum().backward()
    for (name, p), other in zip(plain.named_parameters(), blocked.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(p.grad, other.grad, rtol=1e-6, atol=1e-7, msg=name)


def test_a_query_without_any_key_looks_everywhere():
    q, k, v, mask = tensors()
    mask = mask & (torch.arange(5) != 2)[:, None, None, None]
    out = BlockedAttention.apply(q, k, v, mask, 2**-30, 0.5)
    torch.testing.assert_close(out[2], v[2].mean(1).expand(7, 2, 4), rtol=1e-8, atol=1e-8)


def test_evaluation_uses_torchs_kernels(monkeypatch):
    config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = BertModel(config).eval()
    use_blocked_attention(model)
    monkeypatch.setattr(attention, "draw", None)
    model(torch.randint(50, (2, 5)))
