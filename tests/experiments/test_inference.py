"""Early exit answers as the whole student where nothing is sure, and as its first classifier where everything is."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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

    def read(few):
        return tokenizer(few, return_tensors="pt", padding=True, truncation=True).data

    ask = early_exit.EarlyExit(graph, read, early_exit.Examples((texts, labels), (texts, labels)))
    torch.nn.init.normal_(ask.exits[0].weight)  # what it was fitted to here is all alike
    ask.sure = 1.1
    whole = [list(answer["probabilities"].values()) for answer in given.model.predict(texts, "task")]
    np.testing.assert_allclose(ask(texts), whole, atol=1e-5)
    assert ask.left == [0, len(texts)]
    ask.sure, ask.left = 0.0, [0, 0]
    states = [graph.base(**read([text]), output_hidden_states=True).hidden_states[1][0].mean(0) for text in texts]
    first = ask.exits[0](torch.stack(states)).softmax(-1).detach().numpy()
    np.testing.assert_allclose(ask(texts), first, atol=1e-5)
    assert ask.left == [len(texts), 0]
    ask.sure, ask.left = float(np.median(first.max(1))), [0, 0]  # between the middle two
    mixed = np.where(first.max(1, keepdims=True) >= ask.sure, first, whole)
    np.testing.assert_allclose(ask(texts), mixed, atol=1e-5)
    assert ask.left == [len(texts) // 2, len(texts) // 2]
