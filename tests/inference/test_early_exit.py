"""Texts leave at the first layer that is sure, as if each were asked alone, and layers above are not run."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from research.data.stream import StreamInfo
from research.inference import Model
from research.models import Student
from research.objectives import EarlyExits
from research.step import Clean, Step

CLASSES = StreamInfo("classify", ("a", "b", "c"), max_length=24)
DEEP = {"num_hidden_layers": 4}
TEXTS = [
    "the old valley",
    "was seen from a bridge",
    "of stone",
    "near the river",
    "a",
    "stone bridge seen",
    "old river",
]


@pytest.fixture
def student(tiny: Callable[..., Student]) -> Student:
    student = tiny("bert", architecture=DEEP)
    EarlyExits("s").build(student, {"s": CLASSES})
    student.add_head("s", 3)
    with torch.no_grad():
        for head in student.heads.values():
            head.linear.weight.normal_()
    return student.double().eval()


def by_hand(student: Student, text: str) -> list[np.ndarray]:
    """The logits of every layer for one text."""
    tokenizer = student.tokenizer
    ids = [tokenizer.cls_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    with torch.no_grad():
        out = student.model.bert(torch.tensor([ids]), output_hidden_states=True).hidden_states[1:]
        names = ["s@1", "s@2", "s@3", "s"]
        return [student.heads[n](h.mean(1))[0].numpy() for n, h in zip(names, out, strict=True)]


def expected(student: Student, text: str, below: float) -> tuple[np.ndarray, int]:
    found = by_hand(student, text)
    for layer, logits in enumerate(found[:-1], 1):
        if entropy(np.exp(logits)) < below:
            return logits, layer
    return found[-1], len(found)


@pytest.mark.parametrize("below", [0.0, 0.4, 0.8, 2.0])
def test_answers_are_those_of_the_first_sure_layer(below: float, student: Student) -> None:
    ran = []
    for layer in student.model.bert.encoder.layer:
        layer.register_forward_pre_hook(lambda *_: ran.append(1))
    model = Model(student, {"s": CLASSES}, exit_below=below)
    alone = [expected(student, text, below) for text in TEXTS]
    ran.clear()
    np.testing.assert_allclose(model.logits(TEXTS), [logits for logits, _ in alone], atol=1e-5)
    assert len(ran) == max(layer for _, layer in alone)  # of the one batch


def test_some_leave_early_and_some_do_not(student: Student) -> None:
    assert len({expected(student, text, 0.6)[1] for text in TEXTS}) > 1


def test_heads_learn_and_the_layers_do_not(tiny: Callable[..., Student], batch_of: Callable) -> None:
    torch.manual_seed(0)
    student = tiny("bert", architecture=DEEP, dropout=0.0)
    for detach in (True, False):
        objective = EarlyExits("s", detach)
        objective.build(student, {"s": CLASSES})
        student.double()
        batch = batch_of(student, TEXTS, [Clean()], labels=[0, 1, 2, 0, 1, 2, 0])
        step = Step({"s": batch}, student, None, {"s": objective.views()}, {"s": objective.reads})
        loss = objective(step)
        student.zero_grad()
        loss.backward()
        assert all(student.heads[f"s@{n}"].linear.weight.grad.abs().sum() > 0 for n in (1, 2, 3))
        grads = [layer.output.dense.weight.grad for layer in student.model.bert.encoder.layer]
        learnt = [g is not None and bool(g.abs().sum() > 0) for g in grads]
        assert learnt == ([False] * 4 if detach else [True] * 3 + [False])
