"""A model that answers: in order, whatever the batches, and as the student by itself would."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.writing import write_texts
from research.models import Student
from research.step import Clean

CLASSES = StreamInfo("classify", ("a", "b", "c"), max_length=24)
WORDS = ("the old valley was seen from a bridge of stone near the river " * 2).split()


@pytest.fixture
def texts() -> list[str]:
    return [" ".join(WORDS[: 1 + (7 * i) % len(WORDS)]) for i in range(40)]


@pytest.fixture
def model(tiny: Callable[..., Student]) -> Model:
    student = tiny("bert")
    student.add_head("s", 3)
    return Model(student.double().eval(), {"s": CLASSES, "wiki": StreamInfo("unlabelled")}, tokens=64)


def alone(model: Model, text: str, second: str | None = None) -> np.ndarray:
    """The logits of one text or pair, framed, cut to 24 tokens and pooled by hand."""
    tokenizer = model.student.tokenizer
    ids = [tokenizer.cls_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"][:22], tokenizer.sep_token_id]
    types = [0] * len(ids)
    if second is not None:
        ids += [*tokenizer(second, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
        types += [1] * (len(ids) - len(types))
    with torch.no_grad():
        states = model.student.model.bert(torch.tensor([ids]), token_type_ids=torch.tensor([types])).last_hidden_state
        return model.student.heads["s"](states.mean(1))[0].numpy()


def test_logits_are_those_of_each_text_alone(model: Model, texts: list[str]) -> None:
    logits = model.logits(texts)
    assert logits.shape == (40, 3) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, [alone(model, text) for text in texts], atol=1e-5)


def test_answers_stand_in_the_order_of_the_texts(model: Model, texts: list[str]) -> None:
    answers = list(model.predict(iter(texts), "s"))
    logits = np.array([alone(model, text) for text in texts])
    assert [answer["label"] for answer in answers] == ["abc"[i] for i in logits.argmax(1)]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose([list(answer["probabilities"].values()) for answer in answers], shares, atol=1e-5)


def test_a_window_at_a_time_is_read(model: Model, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("research.inference.model.WINDOW", 8)
    read = list[str]()
    answers = model.predict(read.append(text) or text for text in texts)
    next(answers)
    assert len(read) == 8
    np.testing.assert_allclose(
        [list(a["probabilities"].values()) for a in answers],
        [list(a["probabilities"].values()) for a in list(model.predict(texts))[1:]],
        atol=1e-6,
    )


def test_a_batch_has_no_more_tokens_than_it_may(model: Model, texts: list[str]) -> None:
    seen, forward = list[tuple[int, ...]](), model.student.forward

    def watched(tokens: Any, *more: Any) -> Any:
        seen.append(tuple(tokens.ids.shape))
        return forward(tokens, *more)

    model.student.forward = watched  # type: ignore[method-assign]
    model.logits(texts)
    assert max(rows * length for rows, length in seen) <= 64 and len(seen) < len(texts)
    real = sum(min(len(model.student.tokenizer(text, add_special_tokens=False).input_ids) + 2, 24) for text in texts)
    assert sum(rows * length for rows, length in seen) < 1.1 * real, "hardly a padded token"


@pytest.mark.parametrize(("family", "pooling"), [("bert", "mean"), ("bert", "first"), ("gpt2", "last"), ("t5", "mean")])
def test_texts_share_rows_and_do_not_see_each_other(
    family: str, pooling: str, tiny: Callable[..., Student], texts: list[str]
) -> None:
    student = tiny(family, pooling=pooling)
    student.add_head("s", 3)
    model, shapes, forward = Model(student.double().eval(), {"s": CLASSES}), list[Any](), student.forward

    def watched(tokens: Any, *more: Any) -> Any:
        shapes.append((len(tokens.ids), tokens.segments is not None))
        return forward(tokens, *more)

    student.forward = watched  # type: ignore[method-assign]
    together = model.logits(texts), model.embed(texts)
    assert shapes[0][0] < len(texts) and all(packed for _, packed in shapes)
    alone = [np.concatenate([one([text]) for text in texts]) for one in (model.logits, model.embed)]
    for got, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_cannot_share_rows_is_padded_little(model: Model, texts: list[str]) -> None:
    seen, forward = list[Any](), model.student.forward

    def watched(tokens: Any, *more: Any) -> Any:
        seen.append(tokens)
        return forward(tokens, *more)

    model.student.forward, model.tokens = watched, 8192  # type: ignore[method-assign]
    pairs = [{"text": text, "text_pair": texts[i % 3]} for i, text in enumerate(16 * texts)]
    logits = model.logits(pairs)
    assert all(tokens.segments is None for tokens in seen) and 1 < len(seen) < 40
    assert max(int((~tokens.mask).sum()) for tokens in seen) <= 256
    np.testing.assert_allclose(logits[:9], np.concatenate([model.logits([pair]) for pair in pairs[:9]]), atol=1e-5)


def test_memory_that_does_not_suffice_takes_smaller_batches(model: Model, texts: list[str]) -> None:
    expected, logits = model.logits(texts), model.class_logits

    def short_of_memory(stream: str, batch: Any) -> Any:
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return logits(stream, batch)

    model.class_logits = short_of_memory  # type: ignore[method-assign]
    np.testing.assert_allclose(model.logits(texts), expected, atol=1e-6)


def test_embeddings_and_the_similarity_of_pairs(model: Model, texts: list[str]) -> None:
    embeddings = model.embed(texts)
    pairs = [{"text": a, "text_pair": b} for a, b in zip(texts, reversed(texts), strict=True)]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(list(model.score(pairs)), (unit * unit[::-1]).sum(1), atol=1e-5)
    with pytest.raises(UserError, match=r"pairs\[1\]: a score needs a text and a text_pair"):
        list(model.score([pairs[0], "alone"]))


def test_scores_are_logits_and_embeddings_of_one_forward(model: Model, texts: list[str]) -> None:
    logits, embeddings = model.scores(texts)
    np.testing.assert_allclose(logits, model.logits(texts), atol=1e-5)
    short = [i for i, text in enumerate(texts) if len(model.student.tokenizer(text).input_ids) <= 24]
    assert 5 < len(short) < len(texts), "the task cuts the others"
    np.testing.assert_allclose(embeddings[short], model.embed([texts[i] for i in short]), atol=1e-5)


def test_a_pair_is_read_together(model: Model) -> None:
    first, second = "the old valley", "a bridge"
    got = model.logits([{"text": first, "text_pair": second}])
    np.testing.assert_allclose(got[0], alone(model, first, second), atol=1e-5)
    assert abs(got[0] - model.logits([first])[0]).max() > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_written_texts(family: str, tiny: Callable[..., Student], texts: list[str], batch_of: Any) -> None:
    student = tiny(family)
    model = Model(student, {"s": StreamInfo("generate", max_target_length=6)}, tokens=64)
    written = model.generate(texts[:9])
    expected = [write_texts(student, batch_of(student, [text], [Clean()]).views[Clean()], 6)[0] for text in texts[:9]]
    assert written == expected == [answer["text"] for answer in model.predict(texts[:9])]
    assert len(set(model.generate(texts[:1] * 5, do_sample=True))) > 1


def test_what_cannot_be_answered_is_told(model: Model) -> None:
    for text, reason in (
        ({"body": "x"}, r"texts\[1\]: a record needs a text"),
        ({"text": 3}, r"texts\[1\]: text must be a string, not int '3'"),
        ("\ud800", r"texts\[1\]: text holds half a surrogate pair at character 0"),
    ):
        with pytest.raises(UserError, match=reason):
            model.logits(["fine", text])
    with pytest.raises(UserError, match="task: no t; there is s"):
        list(model.predict(["x"], "t"))
    with pytest.raises(UserError, match="task: name one of problem generate; there is none"):
        model.generate(["x"])


@pytest.mark.parametrize("text", ["", " ", "\x00\x07\u202e", "火星" * 400, "a" * 100_000, "🦉" * 50])
def test_any_text_is_answered(text: str, model: Model) -> None:
    (answer,) = model.predict([text])
    assert json.loads(json.dumps(answer)) == answer and abs(sum(answer["probabilities"].values()) - 1) < 1e-6


def test_no_text_is_no_answer(model: Model) -> None:
    assert model.logits([]).shape == (0, 3) and model.embed([]).shape == (0, 32) and list(model.predict([])) == []
