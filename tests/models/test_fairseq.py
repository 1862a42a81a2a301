"""Checkpoints in Fairseq's layout, against torch's own layers over the same weights."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.data.batch import Tokens
from research.errors import UserError
from research.models import LiveTeacher, Student
from research.step import Clean

H, HEADS, FFN, LAYERS, PLACES = 16, 2, 24, 2, 40
TEXT = "You may reproduce and distribute copies of the Work"
Weights = dict[str, Tensor]


def attention(name: str, joined: bool = False) -> Weights:
    parts = ["in_proj"] if joined else ["q_proj", "k_proj", "v_proj"]
    sizes = {"in_proj": 3 * H}
    out: Weights = {}
    for part in [*parts, "out_proj"]:
        sep = "_" if part == "in_proj" else "."
        out[f"{name}.{part}{sep}weight"] = torch.randn(sizes.get(part, H), H) * 0.3
        out[f"{name}.{part}{sep}bias"] = torch.randn(sizes.get(part, H)) * 0.3
    return out


def affine(name: str, rows: int, columns: int | None = None) -> Weights:
    shape = (rows,) if columns is None else (rows, columns)
    return {f"{name}.weight": torch.randn(shape) * 0.3 + (columns is None), f"{name}.bias": torch.randn(rows) * 0.3}


def stack(start: str, words: Tensor, cross: bool, joined: bool = False, norm: str = "layernorm_embedding") -> Weights:
    out = {f"{start}.embed_tokens.weight": words, f"{start}.embed_positions.weight": torch.randn(PLACES + 2, H) * 0.3}
    out |= affine(f"{start}.{norm}", H)
    for i in range(LAYERS):
        layer = f"{start}.layers.{i}"
        out |= attention(f"{layer}.self_attn", joined) | affine(f"{layer}.self_attn_layer_norm", H)
        if cross:
            out |= attention(f"{layer}.encoder_attn") | affine(f"{layer}.encoder_attn_layer_norm", H)
        out |= affine(f"{layer}.fc1", FFN, H) | affine(f"{layer}.fc2", H, FFN) | affine(f"{layer}.final_layer_norm", H)
    return out


@pytest.fixture
def folder(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dictionary and byte pairs; the dictionary numbers the tokens in an order of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = json.loads(trained("bpe").load().backend_tokenizer.to_str())["model"]
    tokens = {token: number for number, token in enumerate(model["vocab"])}
    (tmp_path / "encoder.json").write_text(json.dumps(tokens))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]))
    order = np.random.default_rng(0).permutation(len(tokens))
    (tmp_path / "dict.txt").write_text("".join(f"{number} {5000 - i}\n" for i, number in enumerate(order)))
    return tmp_path


def words(folder: Path, mask: bool = True) -> Tensor:
    torch.manual_seed(0)
    lines = (folder / "dict.txt").read_text().count("\n")
    return torch.randn(4 + lines + mask, H) * 0.3


def roberta(folder: Path, published: bool) -> Weights:
    """With ``published`` by the names and the joint projections of 2019."""
    start = "decoder" if published else "encoder"
    table = words(folder)
    norm = "emb_layer_norm" if published else "layernorm_embedding"
    weights = stack(f"{start}.sentence_encoder", table, cross=False, joined=published, norm=norm)
    weights |= affine(f"{start}.lm_head.dense", H, H) | affine(f"{start}.lm_head.layer_norm", H)
    return weights | {f"{start}.lm_head.weight": table, f"{start}.lm_head.bias": torch.randn(len(table))}


def save(folder: Path, weights: Weights, published: bool, **more: Any) -> None:
    settings = dict(encoder_attention_heads=HEADS, activation_fn="gelu", dropout=0.1, attention_dropout=0.1) | more
    kept = {"args": Namespace(**settings)} if published else {"args": None, "cfg": {"model": settings}}
    torch.save({**kept, "model": weights}, folder / "model.pt")


def fill(module: nn.Module, weights: Weights, name: str, kind: str) -> nn.Module:
    """Torch's layer with the weights of a layer of Fairseq's."""
    state = module.state_dict()
    norms = ["self_attn", "encoder_attn", "final"] if kind == "decoder" else ["self_attn", "final"]
    for i, norm in enumerate(norms, 1):
        for end in ("weight", "bias"):
            state[f"norm{i}.{end}"] = weights[f"{name}.{norm}_layer_norm.{end}"]
    for ours, theirs in [("self_attn", "self_attn"), ("multihead_attn", "encoder_attn")][: len(norms) - 1]:
        for end in ("weight", "bias"):
            joined = weights.get(f"{name}.{theirs}.in_proj_{end}")
            parts = [weights.get(f"{name}.{theirs}.{part}_proj.{end}") for part in "qkv"]
            state[f"{ours}.in_proj_{end}"] = torch.cat(parts) if joined is None else joined  # type: ignore[arg-type]
            state[f"{ours}.out_proj.{end}"] = weights[f"{name}.{theirs}.out_proj.{end}"]
    for ours, theirs in (("linear1", "fc1"), ("linear2", "fc2")):
        for end in ("weight", "bias"):
            state[f"{ours}.{end}"] = weights[f"{name}.{theirs}.{end}"]
    module.load_state_dict(state)
    return module.eval()


def run(weights: Weights, start: str, ids: Tensor, memory: Tensor | None = None, norm: str = "layernorm_embedding",
        scale: float = 1.0) -> Tensor:  # fmt: skip
    """Hidden states (1, L, H) of a stack; positions begin at 2, behind the padding's index."""
    x = scale * weights[f"{start}.embed_tokens.weight"][ids]
    x = x + weights[f"{start}.embed_positions.weight"][2 : 2 + ids.shape[1]]
    x = F.layer_norm(x, (H,), weights[f"{start}.{norm}.weight"], weights[f"{start}.{norm}.bias"])
    for i in range(LAYERS):
        given: dict[str, Any] = dict(dim_feedforward=FFN, activation="gelu", batch_first=True)
        if memory is None:
            layer = fill(nn.TransformerEncoderLayer(H, HEADS, **given), weights, f"{start}.layers.{i}", "encoder")
            x = layer(x)
        else:
            layer = fill(nn.TransformerDecoderLayer(H, HEADS, **given), weights, f"{start}.layers.{i}", "decoder")
            x = layer(x, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(ids.shape[1]))
    return x


@pytest.mark.parametrize("published", [True, False])
@torch.no_grad()
def test_roberta(folder: Path, published: bool) -> None:
    weights = roberta(folder, published)
    save(folder, weights, published)
    student = Student(f"fairseq:{folder}")
    student.build()
    student.eval()
    assert student.family.name == "encoder" and student.max_length == PLACES

    ids = torch.tensor([[0, *student.tokenizer(TEXT, add_special_tokens=False).input_ids, 2]])
    hidden = student(Tokens(ids, torch.ones_like(ids).bool())).hidden
    start = "decoder" if published else "encoder"
    norm = "emb_layer_norm" if published else "layernorm_embedding"
    expected = run(weights, f"{start}.sentence_encoder", ids, norm=norm)
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-5)
    head = f"{start}.lm_head"
    features = F.gelu(F.linear(expected[0], weights[f"{head}.dense.weight"], weights[f"{head}.dense.bias"]))
    features = F.layer_norm(features, (H,), weights[f"{head}.layer_norm.weight"], weights[f"{head}.layer_norm.bias"])
    logits = F.linear(features, weights[f"{head}.weight"], weights[f"{head}.bias"])
    torch.testing.assert_close(student.vocabulary_head(hidden[0]).logits, logits, rtol=0, atol=1e-4)


@torch.no_grad()
def test_words_are_numbered_by_the_dictionary(folder: Path, trained: Any) -> None:
    save(folder, roberta(folder, True), True)
    tokenizer = Student(f"fairseq:{folder}").tokenizer
    own = trained("bpe").load()
    tokens = json.loads((folder / "encoder.json").read_text())
    lines = [line.split()[0] for line in (folder / "dict.txt").read_text().splitlines()]
    pieces = own.convert_ids_to_tokens(own(TEXT).input_ids)
    expected = [4 + lines.index(str(tokens[piece])) for piece in pieces]
    assert tokenizer(TEXT, add_special_tokens=False).input_ids == expected
    special = tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    assert special == [0, 1, 2, 3, 4 + len(lines)]
    assert tokenizer.decode(expected) == TEXT


@torch.no_grad()
def test_bart(folder: Path) -> None:
    table = words(folder)
    weights = stack("encoder", table, cross=False) | stack("decoder", table, cross=True)
    weights["decoder.output_projection.weight"] = table
    save(folder, weights, False, decoder_attention_heads=HEADS, no_scale_embedding=False)
    teacher = LiveTeacher(f"fairseq:{folder / 'model.pt'}")
    teacher.build(torch.device("cpu"))
    model = teacher.student
    assert model.family.name == "encoder-decoder"
    source = torch.tensor([[0, *model.tokenizer(TEXT, add_special_tokens=False).input_ids, 2]])
    target = torch.tensor([[2, 0, 9, 30, 11]])
    tokens = Tokens(source, torch.ones_like(source).bool(), decoder_ids=target, labels=target)
    encoded = teacher.answer("s", Clean(), tokens).encoded
    memory = run(weights, "encoder", source, scale=H**0.5)
    hidden = run(weights, "decoder", target, memory, scale=H**0.5)
    torch.testing.assert_close(encoded.memory, memory, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoded.hidden, hidden, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.vocabulary_head(hidden[0]).logits, hidden[0] @ table.T, rtol=0, atol=1e-4)


def test_is_converted_once(folder: Path) -> None:
    save(folder, roberta(folder, True), True)
    Student(f"fairseq:{folder}").build()
    (made,) = (folder / "cache" / "hybrid-fine-tuning" / "fairseq").glob("*/config.json")
    before = made.stat().st_mtime_ns
    Student(f"fairseq:{folder}").build()
    assert made.stat().st_mtime_ns == before


def test_refused(folder: Path) -> None:
    def refuse(told: str) -> None:
        with pytest.raises(UserError, match=told) as raised:
            Student(f"fairseq:{folder}").build()
        assert "\n" not in str(raised.value)

    refuse(r"model\.pt is missing")
    (folder / "model.pt").write_bytes(b"nothing")
    refuse("no checkpoint of Fairseq")
    torch.save({"args": Namespace(), "model": {"encoder.conv.weight": torch.ones(2)}}, folder / "model.pt")
    refuse("neither a RoBERTa nor a BART")
    weights = roberta(folder, False)
    save(folder, weights | {"encoder.sentence_encoder.layer_norm.weight": torch.ones(H)}, False)
    refuse("normalise before")
    save(folder, weights, False)
    text = (folder / "dict.txt").read_text()
    (folder / "dict.txt").write_text(text + "77777 1\n88888 1\n")
    refuse(r"dict\.txt: has \d+ words, but the model")
    (folder / "dict.txt").write_text(text + "nocount\n")
    refuse(r"dict\.txt:\d+: not a word and its count")
    first = text.splitlines()[0]
    (folder / "dict.txt").write_text(f"{text}{first}\n")
    refuse("comes twice")
    (folder / "dict.txt").unlink()
    refuse(r"dict\.txt is missing")
    assert not list(folder.glob("cache/**/config.json"))
