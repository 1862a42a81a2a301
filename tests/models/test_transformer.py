import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from research.errors import UserError
from research.models.transformer import (
    FeedForward,
    HybridTransformerConfig,
    HybridTransformerForMaskedLM,
    HybridTransformerModel,
    LayerNorm,
    MultiHeadAttention,
    TransformerLayer,
    attention,
    sinusoidal_positions,
)

SIZES = dict(
    vocab_size=30, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16,
)  # fmt: skip


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def config(**settings) -> HybridTransformerConfig:
    return HybridTransformerConfig(**(SIZES | settings))


def shake(model: nn.Module) -> nn.Module:
    """Give every parameter, biases and norms included, a value that a wrong copy would show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model.double().eval()


def tokens() -> tuple[Tensor, Tensor, Tensor]:
    ids, types = torch.randint(1, 30, (4, 9)), torch.randint(0, 2, (4, 9))
    mask = (torch.arange(9) < torch.tensor([9, 5, 1, 7])[:, None]).long()
    return ids, mask, types


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch(masked: bool) -> None:
    q, k, v = double(2, 3, 5, 4), double(2, 3, 7, 4), double(2, 3, 7, 4)
    mask = (torch.rand(2, 1, 5, 7) < 0.6) | (torch.arange(7) == 2) if masked else None
    grad = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    ours, theirs = attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for a, b in zip(
        torch.autograd.grad(ours, (q, k, v), grad), torch.autograd.grad(theirs, (q, k, v), grad), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_gradient_of_attention() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]]).bool()
    inputs = double(2, 2, 3, 4), double(2, 2, 3, 4), double(2, 2, 3, 4)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask), inputs)


def test_a_query_without_keys_gets_zeros_and_no_nan() -> None:
    q, k, v = double(2, 3, 5, 4), double(2, 3, 5, 4), double(2, 3, 5, 4)
    mask = torch.tensor([True, False]).view(2, 1, 1, 1).expand(2, 1, 1, 5)
    out = attention(q, k, v, mask)
    out.sum().backward()
    assert out[1].abs().max() == 0 and out[0].abs().min() > 0
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, attn_mask=mask), rtol=0, atol=1e-12)


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    q, k, v = torch.randn(1, 1, 200, 4), torch.randn(1, 1, 500, 4), torch.ones(1, 1, 500, 1)
    out = attention(q, k, v, dropout=0.3)
    assert out.std() > 0.01 and out.mean().item() == pytest.approx(1.0, abs=0.02)


def test_layer_norm_equals_torch() -> None:
    ours, theirs = shake(LayerNorm(6, eps=0.1)), nn.LayerNorm(6, eps=0.1).double()
    theirs.load_state_dict(ours.state_dict())
    x = double(3, 4, 6)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(ours, (x,))


def test_positions_by_hand() -> None:
    expected = [
        [0, 1, 0, 1],
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
        [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)],
    ]
    torch.testing.assert_close(sinusoidal_positions(3, 4), torch.tensor(expected), rtol=0, atol=1e-7)
    odd = sinusoidal_positions(2, 3)[1]
    angle = 10000 ** (-2 / 3)
    torch.testing.assert_close(odd, torch.tensor([math.sin(1), math.cos(1), math.sin(angle)]), rtol=0, atol=1e-7)


def test_layer_equals_torch() -> None:
    ours = shake(TransformerLayer(config(layer_norm_eps=1e-5)))
    theirs = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, activation=F.gelu, batch_first=True).double()
    at, ff = ours.attention, ours.feed_forward
    assert isinstance(at, MultiHeadAttention) and isinstance(ff, FeedForward)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([at.query.weight, at.key.weight, at.value.weight]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([at.query.bias, at.key.bias, at.value.bias]))
    for mine, other in (
        (at.output, theirs.self_attn.out_proj), (ff.inner, theirs.linear1), (ff.outer, theirs.linear2),
        (ours.attention_norm, theirs.norm1), (ours.output_norm, theirs.norm2),
    ):  # fmt: skip
        other.load_state_dict(mine.state_dict())
    x, mask = double(4, 9, 12), tokens()[1].bool()
    result, expected = ours(x, mask[:, None, None]), theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(result[mask], expected[mask], rtol=0, atol=1e-10)


def test_language_model_equals_bert() -> None:
    bert = shake(BertForMaskedLM(BertConfig(**SIZES)))
    ours = HybridTransformerForMaskedLM(config(positions="learned", type_vocab_size=2, pad_token_id=0)).double().eval()
    names = {
        "bert.": "transformer.", "attention.self.": "attention.",
        "attention.output.dense": "attention.output", "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "feed_forward.inner", "output.dense": "feed_forward.outer",
        "output.LayerNorm": "output_norm",
    }  # fmt: skip
    weights = {}
    for name, weight in bert.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        weights[name] = weight
    assert weights.pop("cls.predictions.bias") is not None  # BERT's second name of decoder.bias
    ours.load_state_dict(weights, strict=True)
    ids, mask, types = tokens()
    labels = torch.where(torch.rand(ids.shape) < 0.4, ids, -100)
    for arguments in ((ids, None, None), (ids, mask, None), (ids, mask, types)):
        settings = dict(zip(("input_ids", "attention_mask", "token_type_ids"), arguments, strict=True), labels=labels)
        mine, other = ours(**settings, output_hidden_states=True), bert(**settings, output_hidden_states=True)
        torch.testing.assert_close(mine.loss, other.loss, rtol=0, atol=1e-9)
        torch.testing.assert_close(mine.logits, other.logits, rtol=0, atol=1e-9)
        torch.testing.assert_close(mine.hidden_states, other.hidden_states, rtol=0, atol=1e-9)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_padding_does_not_change_real_tokens(positions: str) -> None:
    model = shake(HybridTransformerModel(config(positions=positions, type_vocab_size=0)))
    ids, mask, _ = tokens()
    padded = model(ids, mask).last_hidden_state
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = model(ids[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(padded[row, :length], alone[0], rtol=0, atol=1e-10)


def test_sinusoidal_embeddings_by_hand() -> None:
    model = shake(HybridTransformerModel(config(type_vocab_size=0)))
    emb, ids = model.embeddings, torch.tensor([[5, 7]])
    summed = emb.word_embeddings.weight[[5, 7]] * math.sqrt(12) + sinusoidal_positions(2, 12)
    expected = F.layer_norm(summed, (12,), emb.LayerNorm.weight, emb.LayerNorm.bias, eps=1e-12)
    torch.testing.assert_close(emb(ids)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("positions", "types"), [("sinusoidal", 0), ("learned", 2)])
def test_saved_and_loaded_by_name(positions: str, types: int, tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_config(config(positions=positions, type_vocab_size=types, pad_token_id=0))
    assert type(model) is HybridTransformerForMaskedLM
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.eval().save_pretrained(tmp_path)
    loaded, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    ids, mask, _ = tokens()
    assert torch.equal(loaded(ids, mask).logits, model(ids, mask).logits)

    headless = AutoModel.from_pretrained(tmp_path)
    assert type(headless) is HybridTransformerModel
    expected = model.base_model(ids, mask).last_hidden_state
    assert torch.equal(headless(ids, mask).last_hidden_state, expected)

    read = AutoConfig.from_pretrained(tmp_path)
    assert (read.model_type, read.positions, read.type_vocab_size) == ("hybrid_transformer", positions, types)


def test_initial_weights_are_those_of_bert() -> None:
    model = HybridTransformerForMaskedLM(config(vocab_size=4000, hidden_size=60, pad_token_id=0))
    words = model.get_input_embeddings().weight
    assert words[1:].std().item() == pytest.approx(0.02, rel=0.05) and words[0].abs().max() == 0
    layer = model.base_model.encoder.layer[0]
    assert layer.attention.query.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert layer.attention.query.bias.abs().max() == 0
    assert (layer.output_norm.weight == 1).all() and (layer.output_norm.bias == 0).all()


def test_dropout_goes_by_three_names() -> None:
    for name in ("dropout", "hidden_dropout_prob", "attention_probs_dropout_prob"):
        settings = config(**{name: 0.25})
        assert settings.dropout == settings.hidden_dropout_prob == settings.attention_probs_dropout_prob == 0.25
    part, x = MultiHeadAttention(config(dropout=0.5)), torch.randn(1, 9, 12)
    assert not torch.equal(part(x, None), part(x, None)) and torch.equal(part.eval()(x, None), part(x, None))
    model = HybridTransformerModel(config(dropout=0.5)).train()
    ids = tokens()[0]
    assert not torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    model = HybridTransformerModel(config(dropout=0.0)).train()
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable")
def test_checkpointing_computes_twice_and_keeps_the_gradient() -> None:
    model = HybridTransformerForMaskedLM(config(dropout=0.0)).double().train()
    ids, mask, types = tokens()
    gradients, calls = [], []
    model.base_model.encoder.layer[0].attention.register_forward_hook(lambda *_: calls.append(1))
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.zero_grad()
        model(ids, mask, types, labels=ids).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert len(calls) == 1 + 2
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"num_attention_heads": 5}, "hidden_size 12 is no multiple of num_attention_heads 5"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"positions": "rotary"}, "positions is rotary"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict, key: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.student: architecture\.{key}"):
        config(**settings)
