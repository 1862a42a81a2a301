"""Early exit answers as the whole student where nothing is sure, and as its first classifier where everything is."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def early_exit(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "inference"))
    import early_exit

    yield early_exit
    sys.modules.pop("early_exit")


def test_texts_leave_when_their_layer_is_sure(early_exit, tiny, texts):
    from research.data.stream import StreamInfo
    from research.inference import Model
    from research.inference.export.given import Given
    from research.inference.export.graph import Graph
    from research.inference.export.tokenizer import framing

    student = tiny("bert").float()
    student.add_head("task", 2)
    student.eval().requires_grad_(False)
    given = Given(Model(student, {"task": StreamInfo("classify", ("a", "b"), max_length=40)}), "task")
    tokenizer, graph = framing(student, 40), Graph(given)
    labels = np.arange(len(texts)) % 2
    ask = early_exit.EarlyExit(
        graph,
        lambda few: tokenizer(few, return_tensors="pt", padding=True, truncation=True).data,
        early_exit.Examples((texts, labels), (texts, labels)),
    )
    ask.sure = 1.1
    whole = [list(answer["probabilities"].values()) for answer in given.model.predict(texts, "task")]
    np.testing.assert_allclose(ask(texts), whole, atol=1e-5)
    assert ask.left == [0, len(texts)]
    ask.sure, ask.left = 0.0, [0, 0]
    assert (ask(texts).argmax(1) == labels).mean() > 0.8, "what the first classifier was fitted to"
    assert ask.left == [len(texts), 0]
    each = np.concatenate([ask([text]) for text in texts])
    np.testing.assert_allclose(ask(texts), each, atol=1e-5)
