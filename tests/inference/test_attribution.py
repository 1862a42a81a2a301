"""Words that mattered: against a student whose answer hangs on known words."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.inference import Model
from research.inference.attribution import WORDS, occlusion, word_spans
from research.models import Student

TEXT = "the old valley was seen from a bridge"


def model_of(student: Student, problem: str, outputs: int, **given: object) -> Model:
    student.add_head("s", outputs)
    labels = () if problem == "regress" else tuple("abcde"[:outputs])
    return Model(student.double().eval(), {"s": StreamInfo(problem, labels, **given)})  # type: ignore[arg-type]


def test_a_weight_is_what_the_answer_loses_without_the_word(tiny: Callable[..., Student]) -> None:
    model = model_of(tiny("bert"), "classify", 3)
    found = occlusion(model, TEXT)
    assert [TEXT[start:end] for start, end, _ in found] == TEXT.split()

    def log_probability(text: str) -> np.ndarray:
        return np.log(list(next(model.predict([text]))["probabilities"].values()))

    whole = log_probability(TEXT)
    label = whole.argmax()
    for i, (_, _, weight) in enumerate(found):
        words = TEXT.split()
        words[i] = ""
        assert weight == pytest.approx(whole[label] - log_probability(" ".join(words))[label], abs=1e-5)


def test_a_value_is_explained_in_its_own_unit(tiny: Callable[..., Student]) -> None:
    model = model_of(tiny("bert"), "regress", 1, scale=(2.0, 10.0))
    start, end, weight = occlusion(model, TEXT)[3]
    with_it, without = (a["value"] for a in model.predict([TEXT, TEXT[:start] + TEXT[end:]]))
    assert weight == pytest.approx(with_it - without, abs=1e-4) and abs(weight) > 1e-3


def test_the_word_that_decides_is_found(tiny: Callable[..., Student]) -> None:
    """A head along the direction in which one word moves the embedding goes by that word most."""
    student = tiny("bert")
    model = model_of(student, "classify", 2)
    with_it, without = torch.from_numpy(model.embed([TEXT, TEXT.replace("bridge", "")])).double()
    with torch.no_grad():
        student.heads["s"].linear.weight.copy_(torch.stack([with_it - without, without - with_it]))
        student.heads["s"].linear.bias.copy_(student.heads["s"].linear.weight @ (-without))
    assert max(occlusion(model, TEXT), key=lambda one: one[2])[:2] == (TEXT.index("bridge"), len(TEXT))


def test_words_are_those_of_the_tokenizer_and_not_too_many(tiny: Callable[..., Student]) -> None:
    model = model_of(tiny("bert"), "classify", 2)
    text = "Where is it?! Zürich 😀 在哪里"
    parts = [text[start:end] for start, end in word_spans(model, text)]
    assert parts[:4] == ["Where", "is", "it", "?"] and {"在", "哪", "里"} <= set(parts)
    assert len(occlusion(model, "word " * (WORDS + 50))) == WORDS
