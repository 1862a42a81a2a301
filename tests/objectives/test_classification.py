"""Classification against formulas written out in numpy, and against scikit-learn's figures."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef
from torch import Tensor

from research.data.augment import TokenCutoff
from research.data.masking import Masked
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models.starts import Prototypes
from research.objectives import Classification
from research.objectives.classification import class_metrics, classification_loss
from research.step import Clean, Step

WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0])
LABELS = np.array([0, 1, 2, 3, 1, 1, 0])
INDICATORS = np.array(
    [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
)


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(7, 4, dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_single_label_formula(logits: Tensor, smoothing: float, weighted: bool) -> None:
    """Smoothing mixes the target with the uniform distribution; true classes' weights divide the sum."""
    weights = WEIGHTS if weighted else np.ones(4)
    target = (1 - smoothing) * np.eye(4)[LABELS] + smoothing / 4
    terms = -(target * weights * np.log(softmax(logits.detach().numpy()))).sum(1)
    expected = terms.sum() / weights[LABELS].sum()

    def loss(z: Tensor) -> Tensor:
        return classification_loss(
            z, torch.from_numpy(LABELS), torch.from_numpy(WEIGHTS) if weighted else None, smoothing
        )

    assert loss(logits).item() == pytest.approx(expected, abs=1e-6)
    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_multilabel_formula(logits: Tensor, smoothing: float, weighted: bool) -> None:
    """Each class is a binary decision whose target moves to 1/2; weights are of the positive side alone."""
    weights = WEIGHTS if weighted else np.ones(4)
    p = 1 / (1 + np.exp(-logits.detach().numpy()))
    target = (1 - smoothing) * INDICATORS + smoothing / 2
    expected = -(weights * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    labels = torch.tensor(INDICATORS, dtype=torch.float32)  # as a task gives them

    def loss(z: Tensor) -> Tensor:
        return classification_loss(z, labels, torch.from_numpy(WEIGHTS) if weighted else None, smoothing)

    assert loss(logits).item() == pytest.approx(expected, abs=1e-6)
    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_objective_reads_the_pooled_text(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    """Each text alone through transformers, pooled by hand, against the padded batch."""
    student, objective = tiny(name), Classification("s", {"b": 3.0}, label_smoothing=0.1)
    head = classify(objective, student, 3)
    labels = [0, 1, 2, 1, 0, 2, 2, 1]
    batch = batch_of(student, texts, objective.views(), labels)
    v, pooled = student.vocabulary, []
    for text in texts:
        ids = student.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[v.begin, *ids, v.end] if name == "bert" else [*ids, v.end]])
        encoder = student.model.encoder if name == "t5" else student.model.base_model
        states = encoder(input_ids=ids).last_hidden_state[0]
        pooled.append(states[-1] if name == "gpt2" else states.mean(0))
    probabilities = softmax((torch.stack(pooled) @ head.weight.T + head.bias).detach().numpy())
    weights = np.array([1.0, 3.0, 1.0])
    target = 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = -(target * weights * np.log(probabilities)).sum() / weights[labels].sum()
    assert objective(step_of(objective, student, batch)).item() == pytest.approx(expected, abs=1e-6)


def probabilities_of(student: Any, batch: Any) -> np.ndarray:
    with torch.no_grad():
        return student.class_logits(student(batch.views[Clean()]), "s").numpy()


def test_figures_are_scikit_learns(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any) -> None:
    """Over batches of unequal size; class "d" is neither predicted by chance nor in the labels."""
    student, objective = tiny("bert"), Classification("s")
    head = classify(objective, student, 4)
    torch.nn.init.constant_(head.bias[3:], -100.0)
    labels, logits = [0, 1, 2, 1, 0, 2, 2, 1], []
    for rows in (slice(0, 1), slice(1, 6), slice(6, 8)):
        batch = batch_of(student, texts[rows], [Clean()], labels[rows])
        with torch.no_grad():
            objective.measure(step_of(objective, student, batch))
        logits.append(probabilities_of(student, batch))
    probabilities = softmax(np.concatenate(logits))
    predicted = probabilities.argmax(1)
    results = objective.results()
    assert results["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-6)
    assert results["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
    assert results["loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(4)), abs=1e-6)
    assert results["mcc"] == pytest.approx(matthews_corrcoef(labels, predicted), abs=1e-6)
    assert 0 < results["accuracy"] < 1, "a figure that could be wrong"


def test_calibration_error_is_the_papers() -> None:
    """Also where probabilities are 1 in float32, too sure, while others of the same bin are not sure enough."""
    rng = np.random.default_rng(0)
    some, sure = rng.normal(size=(300, 3)), 40 * rng.normal(size=(300, 3))
    logits = np.concatenate([some, sure, 4 * np.eye(3)[rng.integers(3, size=1000)]])
    p = softmax(logits)
    labels = np.where(rng.random(1600) < 0.7, p.argmax(1), rng.integers(3, size=1600))
    labels[600:] = p[600:].argmax(1)
    confidence, right = p.max(1), p.argmax(1) == labels
    inside = [(confidence > b / 15) & (confidence <= (b + 1) / 15) for b in range(15)]
    gaps = [abs(right[i].mean() - confidence[i].mean()) * i.mean() for i in inside if i.any()]
    objective, given = Classification("s"), torch.from_numpy(logits.astype(np.float32))
    objective.metrics = class_metrics(3)
    for rows in (slice(0, 1), slice(1, 400), slice(400, 1600)):
        objective.gather(given[rows], torch.from_numpy(labels[rows]))
    assert objective.results()["calibration_error"] == pytest.approx(sum(gaps), abs=1e-5)
    assert (given.softmax(-1) == 1).any(1).sum() > 20


def test_multilabel_figures_are_scikit_learns(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    student, objective = tiny("bert"), Classification("s")
    head = classify(objective, student, 4, "multilabel")
    torch.nn.init.constant_(head.bias[3:], -100.0)
    logits = probabilities_of(student, batch_of(student, texts, [Clean()]))
    labels = (logits > 0).astype(np.float32)
    labels[::2, 0] = 1 - labels[::2, 0]  # some right, some wrong
    labels[1::3, 3] = 1
    for rows in (slice(0, 1), slice(1, 6), slice(6, 8)):
        batch = batch_of(student, texts[rows], [Clean()], labels[rows])
        with torch.no_grad():
            objective.measure(step_of(objective, student, batch))
    results = objective.results()
    predicted = logits > 0
    p = 1 / (1 + np.exp(-logits))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(labels == 1, -np.log(p), -np.log1p(-p))
    assert results["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-6)
    assert results["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0), abs=1e-6)
    assert results["loss"] == pytest.approx(terms.mean(), rel=1e-6)
    assert results["mcc"] == pytest.approx(matthews_corrcoef(labels.ravel(), predicted.ravel()), abs=1e-6)
    assert 0 < results["accuracy"] < 1, "a figure that could be wrong"


def test_refusals(tiny: Any) -> None:
    student = tiny("bert")
    info = {"s": StreamInfo("classify", ("a", "b")), "r": StreamInfo("regress")}
    with pytest.raises(UserError, match=r"name \['z'\]; labels"):
        Classification("s", {"z": 1.0}).build(student, info)
    with pytest.raises(UserError, match=r"label_smoothing is 1.0"):
        Classification("s", label_smoothing=1.0)
    with pytest.raises(UserError, match=r"model.objectives.x: .* data.streams.r is regress"):
        Classification("r").check("x", student.family, info, None)
    assert Masked() not in Classification("s").views()


def test_reads_the_view_that_it_is_given(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any
) -> None:
    """As one who encodes that view on its own would; the default is the clean text."""
    student, view = tiny("bert"), TokenCutoff(0.4)
    objective = Classification("s", view=view)
    head = classify(objective, student, 3)
    labels = [0, 1, 2, 1, 0, 2, 2, 1]
    batch = batch_of(student, texts, [Clean(), view], labels)
    logits = head(student.embedding(student(batch.views[view])))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    step = Step({"s": batch}, student, None, {"s": [Clean(), view]})
    torch.testing.assert_close(objective(step), expected, rtol=0, atol=1e-6)
    assert Classification("s").views() == (Clean(),) and objective.views() == (view,)
    assert (Classification("s")(step) - expected).abs() > 1e-4


def test_shares_the_head_of_another_stream(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """The stream's classes "b" and "d" are the head's second and fourth."""
    student = tiny("bert")
    streams = {"s": StreamInfo("classify", ("b", "d")), "task": StreamInfo("classify", ("a", "b", "c", "d"))}
    objective = Classification("s", class_weights={"d": 3.0}, head="task")
    objective.check("name", student.family, streams, None)
    objective.build(student, streams)
    assert list(student.heads) == ["task"]
    linear = student.double().eval().heads["task"].linear
    batch = batch_of(student, texts[:4], [Clean()], [0, 1, 1, 0])
    loss = objective.double()(step_of(objective, student, batch))
    h = student.embedding(student(batch.views[Clean()])).detach().numpy()
    probabilities = softmax(h @ linear.weight.detach().numpy().T + linear.bias.detach().numpy())
    terms = np.log(probabilities[np.arange(4), [1, 3, 3, 1]])
    assert loss.item() == pytest.approx(-(terms * [1, 3, 3, 1]).sum() / 8, abs=1e-6)


def test_heads_that_cannot_be_shared(tiny: Any) -> None:
    student, few = tiny("bert"), ("a", "b")
    with pytest.raises(UserError, match="start is for a stream's own head; s shares that of task"):
        Classification("s", start=Prototypes(), head="task")
    objective = Classification("s", head="task")
    for other in ({}, {"task": StreamInfo("multilabel", few)}):
        with pytest.raises(UserError, match=r"model\.objectives\.mine: head joins two streams of problem classify"):
            objective.check("mine", student.family, {"s": StreamInfo("classify", few), **other}, None)
    with pytest.raises(UserError, match=r"labels \['z'\] of stream s are none of task"):
        objective.build(student, {"s": StreamInfo("classify", ("a", "z")), "task": StreamInfo("classify", few)})
