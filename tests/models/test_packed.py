"""A document in a packed row has the states, the loss and the gradient that it has alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import set_seed

from research.data.batch import Example, Tokens, pad_rows
from research.data.masking import Masked, NextToken, SpanCorrupted
from research.data.packing import pack_rows
from research.errors import UserError
from research.models import Student
from research.models.packed import SERVED, check_packed, positions, unpacked, visible
from research.step import Clean, View

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
             max_position_embeddings=64)  # fmt: skip
T5 = dict(d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2)
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {  # the kind of tokenizer, the settings of the architecture
    "distilbert": ("wordpiece", dict(dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=64)),
    "electra": ("wordpiece", SMALL | {"embedding_size": 16}),
    "gpt2": ("bpe", dict(n_embd=32, n_layer=2, n_head=2, n_positions=64)),
    "llama": ("bpe", SMALL | {"num_key_value_heads": 1}),
    "mt5": ("unigram", T5),
    "t5": ("unigram", T5),
}
VIEW: dict[str, View] = {"encoder": Masked(0.3), "decoder": NextToken(), "encoder-decoder": SpanCorrupted(0.3)}
TEXTS = ["You may reproduce and distribute copies of the Work.", "Work", "does not grant", "names",
         "This License does not grant permission to use them", "of the Work or Derivative Works thereof"]  # fmt: skip
ROWS = ([0, 1, 3], [2], [4, 5])  # which of them share a row


@pytest.fixture
def student(trained: Any) -> Any:
    """A student in float64 with weights as large as trained ones, and no bias of zero."""

    def student(name: str, **given: Any) -> Student:
        kind, settings = SETTINGS.get(name, ("wordpiece", SMALL))
        set_seed(0)
        made = Student(architecture={"model_type": name, **settings}, tokenizer=trained(kind), **given)
        made.build()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return made.double().eval()

    return student


def both(student: Student, view: View) -> tuple[Tokens, Tokens]:
    """The same documents with the same masks: packed, and a row each in the order of the packed ones."""
    rng = np.random.default_rng(0)
    ids = student.tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    order = [i for row in ROWS for i in row]
    shown = {i: view.build(Example(np.array(ids[i])), student.family, student.vocabulary, rng) for i in order}
    pad, types = student.vocabulary.pad, (getattr(student.config, "type_vocab_size", 0) or 0) > 1
    packed = pad_rows([pack_rows([shown[i] for i in row]) for row in ROWS], pad, types)
    return packed, pad_rows([shown[i] for i in order], pad, types)


def token_losses(student: Student, tokens: Tokens) -> Tensor:
    features, labels = student(tokens).at_labels()
    return student.vocabulary_head(features).cross_entropy(labels, reduction="none")


@pytest.mark.parametrize("name", SERVED)
def test_losses_and_gradients_are_those_of_padded_rows(name: str, student: Any) -> None:
    made = student(name)
    packed, padded = both(made, VIEW[made.family.name])
    assert packed.ids.shape[0] == 3 and padded.ids.shape[0] == 6 and not packed.mask.all()
    losses = [token_losses(made, tokens) for tokens in (packed, padded)]
    assert len(losses[0]) > 10
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad(loss.mean(), list(made.model.parameters()), allow_unused=True) for loss in losses]
    for mine, theirs in zip(*gradients, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "roberta", "hybrid_transformer", "gpt2", "t5"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_embeddings_are_those_of_each_document_alone(name: str, pooling: str, student: Any) -> None:
    """By transformers' model on one text, without a mask, positions or padding."""
    made = student(name, pooling=pooling)
    packed, padded = both(made, Clean())
    embeddings = made.embedding(made(packed))
    assert embeddings.shape == (6, 32)
    base = made.model.get_encoder() if name == "t5" else made.model.base_model
    for ids, mask, embedding in zip(padded.ids, padded.mask, embeddings, strict=True):
        alone = base(input_ids=ids[mask][None]).last_hidden_state[0]
        expected = {"mean": alone.mean(0), "first": alone[0], "last": alone[-1]}[pooling]
        torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_training_with_dropout_keeps_documents_apart(name: str, student: Any) -> None:
    """Attention with dropout is computed otherwise there; at a rate that drops nothing, losses stay the same."""
    made = student(name)
    for module in made.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 2.0**-40
    assert made.model.config._attn_implementation == "blocked"
    packed, padded = (token_losses(made.train(), tokens) for tokens in both(made, Masked(0.3)))
    torch.testing.assert_close(packed, padded, rtol=0, atol=1e-6)


def test_segments_by_hand() -> None:
    segments = torch.tensor([[1, 1, 2, 2, 2, 3], [1, 2, 2, 0, 0, 0]])
    assert positions(segments).tolist() == [[0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 1, 2]]
    decoder = torch.tensor([[1, 2, 2, 3], [2, 2, 0, 0]])
    assert visible(decoder, segments).int().tolist() == [
        [[[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]]],
        [[[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]],
    ]
    causal = visible(decoder, decoder, causal=True).int()
    assert causal[0, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    states, mask = unpacked(torch.arange(12.0).view(2, 6, 1), segments)
    assert states[..., 0].tolist() == [[0, 1, 0], [2, 3, 4], [5, 0, 0], [6, 0, 0], [7, 8, 0]]
    assert mask.int().tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 1, 0]]


def test_architectures_that_would_look_across_are_refused(trained: Any) -> None:
    key = "data.streams.wiki.init_args.pack"
    for name, more, told in (
        ("deberta-v2", {}, "apart in deberta-v2, which model.student is; it serves bert, "),
        (
            "bert",
            {"attn_implementation": "eager"},
            "needs model.student to have attn_implementation sdpa; it has eager",
        ),
    ):
        config = Student(architecture={"model_type": name, **more}, tokenizer=trained("wordpiece")).config
        with pytest.raises(UserError, match=rf"^{key}: .*{told}"):
            check_packed(config, key, "model.student")


@pytest.mark.parametrize("name", ["bert", "hybrid_transformer", "t5"])
def test_what_is_built_is_served_still(name: str, student: Any) -> None:
    check_packed(student(name).config, "data.streams.wiki.init_args.pack", "model.student")
