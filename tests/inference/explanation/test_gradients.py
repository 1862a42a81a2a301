"""Integrated gradients against an integral by hand, and against what their sum has to be."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.explanation.gradients import integrated_gradients
from research.inference.explanation.reading import read
from research.step import Clean

pytest.importorskip("captum", reason="the extra explain is not installed")
TEXT = "the old valley was seen from a bridge"


def model_of(student: Any, problem: str, outputs: int, **given: Any) -> Model:
    torch.manual_seed(0)
    student.add_head("s", outputs)
    torch.nn.init.normal_(student.heads["s"].linear.weight)
    labels = () if problem == "regress" else tuple("abcde"[:outputs])
    model = Model(student.double().eval(), {"s": StreamInfo(problem, labels, **given)})
    model.student.requires_grad_(False)
    return model


def by_hand(model: Model, text: str, points: int = 400) -> np.ndarray:
    """The midpoint rule through the embeddings of BERT, in Transformers alone."""
    student = model.student
    bert, tokenizer = student.model.bert, student.tokenizer
    inner = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[tokenizer.cls_token_id, *inner, tokenizer.sep_token_id]])
    blank = ids.clone()
    blank[0, 1:-1] = tokenizer.mask_token_id
    x, other = bert.embeddings.word_embeddings(ids), bert.embeddings.word_embeddings(blank)
    head = student.heads["s"]

    def said(states: torch.Tensor) -> torch.Tensor:
        return head(bert(inputs_embeds=states).last_hidden_state.mean(1)).log_softmax(-1)

    label = int(said(x).argmax())
    total = torch.zeros_like(x)
    for i in range(points):
        at = (other + (i + 0.5) / points * (x - other)).requires_grad_()
        total += torch.autograd.grad(said(at)[0, label], at)[0]
    return ((x - other) * total / points).sum(-1)[0].numpy()


def test_against_an_integral_by_hand(tiny: Any) -> None:
    model = model_of(tiny("bert"), "classify", 3)
    weights, gap = integrated_gradients(model, read(model, TEXT))
    np.testing.assert_allclose(weights, by_hand(model, TEXT), atol=1e-4)
    assert weights[0] == weights[-1] == 0 and np.abs(weights).max() > 1e-2 and abs(gap) < 1e-4


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("problem", ["classify", "multilabel", "regress"])
def test_weights_add_up_in_every_layer(name: str, problem: str, tiny: Any) -> None:
    model = model_of(tiny(name), problem, 1 if problem == "regress" else 3, scale=(2.0, 10.0))
    reading = read(model, {"text": TEXT, "text_pair": "of stone"})
    student = model.student
    ids = reading.batch.views[Clean()].ids
    answers = []
    for replaced in (False, True):
        here = ids.clone()
        if replaced:
            fill = student.vocabulary.mask if student.vocabulary.mask >= 0 else student.vocabulary.pad
            here[0, ~torch.from_numpy(student.vocabulary.special)[ids[0]]] = fill
        batch = reading.batch.to(torch.device("cpu"))
        batch.views[Clean()].ids = here
        logits = model.class_logits("s", batch)[0]
        answers.append(
            logits.log_softmax(-1) if problem == "classify" else logits * (10 if problem == "regress" else 1)
        )
    said = int(answers[0].argmax())
    expected = float(answers[0][said] - answers[1][said])
    for layer in range(3):
        weights, gap = integrated_gradients(model, reading, layer, steps=128)
        assert weights.shape == (ids.shape[1],)
        assert weights.sum() - gap == pytest.approx(expected, rel=1e-8)
        assert abs(gap) < 2e-3 + 0.05 * abs(expected), "a T5's way from padding is steep"


def test_a_layer_that_is_not_there(tiny: Any) -> None:
    model = model_of(tiny("bert"), "classify", 2)
    with pytest.raises(UserError, match="layer is 3; it must lie between 0 and 2"):
        integrated_gradients(model, read(model, TEXT), 3)
