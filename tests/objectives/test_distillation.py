"""Distillation against the formula written out, torch.distributions, and full logits of two models."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import cohen_kappa_score
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from research.data.batch import IGNORE
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import heads
from research.models.heads import VocabularyHead
from research.objectives import Distillation
from research.objectives.distillation import distillation_loss
from research.objectives.divergence import ForwardKL, ReverseKL, forward_kl
from research.step import Clean

STUDENT = [[0.5, -1.0, 2.0], [3.0, 0.0, 0.1]]
TEACHER = [[1.5, 0.3, -0.7], [0.2, 0.9, 0.4]]
VIEWS = {"bert": Masked(0.4), "gpt2": NextToken(), "t5": SpanCorrupted(0.4)}
T = 3.0


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_formula(alpha: float, temperature: float) -> None:
    labels = [2, 1]

    def softmax(row: list[float], t: float) -> list[float]:
        total = sum(math.exp(x / t) for x in row)
        return [math.exp(x / t) / total for x in row]

    expected = 0.0
    for s, t, y in zip(STUDENT, TEACHER, labels, strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        expected += (-alpha * math.log(softmax(s, 1.0)[y]) + (1 - alpha) * temperature**2 * kl) / 2

    student = torch.tensor(STUDENT, dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor(TEACHER, dtype=torch.float64)

    def loss(z: Tensor) -> Tensor:
        return distillation_loss(z, teacher, torch.tensor(labels), alpha, temperature, ForwardKL())

    assert loss(student).item() == pytest.approx(expected, abs=1e-6)
    assert torch.autograd.gradcheck(loss, student)


def test_divergence_is_torchs() -> None:
    student, teacher = torch.randn(2, 9, 20, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = T**2 * kl_divergence(Categorical(logits=teacher / T), Categorical(logits=student / T))
    torch.testing.assert_close(T**2 * forward_kl(student / T, teacher / T), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(forward_kl(teacher, teacher), torch.zeros(9).double())


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_classes(
    alpha: float, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, classify: Any
) -> None:
    """A class logit is a linear map of the mean of the token states, in the student and in the teacher."""
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5))
    objective = Distillation("s", temperature=T, alpha=alpha)
    info = {"s": StreamInfo("classify", ("a", "b", "c"))}
    objective.check("kd", student.family, info, teacher)
    objective.build(student, info)
    teacher.student.add_head("s", 3)
    teacher.student.double().eval()
    student.double().eval()
    for model in (student, teacher.student):
        torch.nn.init.normal_(model.heads["s"].linear.weight)
    labels = [0, 1, 2, 1, 0, 2, 2, 1]
    batch = batch_of(student, texts, [Clean()], labels)
    loss = objective(step_of(objective, student, batch, teacher))

    tokens, probabilities = batch.views[Clean()], []
    for model in (student, teacher.student):
        states = model.model.base_model(tokens.ids, tokens.mask.long(), tokens.types).last_hidden_state
        pooled = torch.stack([s[m].mean(0) for s, m in zip(states, tokens.mask, strict=True)])
        probabilities.append(pooled @ model.heads["s"].linear.weight.T)
    mine, theirs = probabilities
    soft = T**2 * kl_divergence(Categorical(logits=theirs / T), Categorical(logits=mine / T)).mean()
    expected = alpha * F.nll_loss(mine.log_softmax(1), torch.tensor(labels)) + (1 - alpha) * soft
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    loss.backward()
    assert student.heads["s"].linear.weight.grad.any()
    assert all(p.grad is None for p in teacher.student.parameters())


def test_agreement_is_scikit_learns(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any) -> None:
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5))
    streams = {"s": StreamInfo("classify", ("a", "b", "c")), "t": StreamInfo("unlabelled")}
    objectives = Distillation("s"), Distillation("t", task="s")
    for model in (student, teacher.student):
        model.add_head("s", 3)
        torch.nn.init.normal_(model.heads["s"].linear.weight, generator=torch.manual_seed(len(model.heads)))
        model.double().eval()
    labels, answers = [0, 1, 2, 1, 0, 2, 2, 1], dict[str, list[int]](mine=[], theirs=[])
    for objective in objectives:
        objective.build(student, streams)
        objective.double()
        for half in (slice(0, 4), slice(4, 8)):
            batch = batch_of(student, texts[half], [Clean()], labels[half] if objective.stream == "s" else None)
            step = step_of(objective, student, batch, teacher)
            objective.measure(step)
            if objective.stream == "s":
                answers["mine"] += step.student.class_logits(step.encoded("s", Clean()), "s").argmax(1).tolist()
                answers["theirs"] += step.taught("s", Clean()).class_logits("s").argmax(1).tolist()
    expected = {
        "kappa_student": cohen_kappa_score(answers["theirs"], answers["mine"]),
        "kappa_labels": cohen_kappa_score(answers["theirs"], labels),
    }
    found = objectives[0].results()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert objectives[1].results().keys() == {"loss", "kappa_student"}


@pytest.mark.parametrize("chunk", [3, 1024])
@pytest.mark.parametrize("alpha", [0.0, 0.4])
@pytest.mark.parametrize("name", VIEWS)
def test_tokens_equal_the_full_logits(
    name: str, alpha: float, chunk: int, tiny: Any, texts: list[str], batch_of: Any, step_of: Any,
    teacher_of: Any, monkeypatch: Any,
) -> None:  # fmt: skip
    """Loss and gradient, from all logits of both models; with few of them alive at once, the same."""
    monkeypatch.setattr(heads, "CHUNK", chunk)
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    objective = Distillation("s", tokens=VIEWS[name], temperature=T, alpha=alpha)
    batch = batch_of(student, texts, objective.views())
    tokens = batch.views[VIEWS[name]]
    parameters = [p for p in student.model.parameters() if p.requires_grad]
    loss = objective(step_of(objective, student, batch, teacher))

    given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
    mine, theirs = (
        model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **given).logits[tokens.labels != IGNORE]
        for model in (student.model, teacher.student.model)
    )
    soft = T**2 * kl_divergence(Categorical(logits=theirs / T), Categorical(logits=mine / T)).mean()
    hard = F.cross_entropy(mine, tokens.labels[tokens.labels != IGNORE])
    expected = alpha * hard + (1 - alpha) * soft
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters, allow_unused=True),
        torch.autograd.grad(expected, parameters, allow_unused=True),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", VIEWS)
def test_tokens_by_another_divergence(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, monkeypatch: Any
) -> None:
    """The reverse KL over the vocabulary, also where few logits are alive at once."""
    monkeypatch.setattr(heads, "CHUNK", 3)
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    view = Conditional() if name == "t5" else VIEWS[name]
    objective = Distillation("s", tokens=view, temperature=T, divergence=ReverseKL())
    batch = batch_of(student, texts, objective.views(), targets=texts[::-1])
    tokens = batch.views[view]
    given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
    mine, theirs = (
        Categorical(logits=m(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **given).logits / T)
        for m in (student.model, teacher.student.model)
    )
    expected = T**2 * kl_divergence(mine, theirs)[tokens.labels != IGNORE].mean()
    torch.testing.assert_close(objective(step_of(objective, student, batch, teacher)), expected, rtol=0, atol=1e-6)


def test_derivatives_of_chunks_are_numerical_ones(monkeypatch: Any) -> None:
    monkeypatch.setattr(heads, "CHUNK", 2)
    torch.manual_seed(0)
    features, weight, offsets = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 3), (6, 3), (6,))
    )
    teacher = VocabularyHead(torch.randn(5, 4).double(), torch.randn(6, 4).double(), None)

    def loss(*mine: Tensor) -> Tensor:
        return VocabularyHead(*mine).divergence(teacher, lambda s, t: T**2 * forward_kl(s / T, t / T))

    assert torch.autograd.gradcheck(loss, (features, weight, offsets))


def test_no_labelled_position_gives_zero_with_a_graph(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any
) -> None:
    student, objective = tiny("bert"), Distillation("s", tokens=Masked(), alpha=0.5)
    batch = batch_of(student, texts, objective.views())
    batch.views[Masked()].labels.fill_(IGNORE)
    loss = objective(step_of(objective, student, batch, teacher_of(student)))
    assert loss.item() == 0.0
    loss.backward()


def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any
) -> None:
    student, objective = tiny("t5"), Distillation("s", tokens=Conditional())
    batch = batch_of(student, texts, objective.views(), targets=texts[::-1])
    assert abs(objective(step_of(objective, student, batch, teacher_of(student))).item()) < 1e-9


def test_refusals(tiny: Any, teacher_of: Any) -> None:
    student = tiny("bert")
    teacher = teacher_of(student)
    streams = {
        "wiki": StreamInfo("unlabelled"),
        "news": StreamInfo("classify", ("a", "b")),
        "sim": StreamInfo("regress"),
    }

    def check(objective: Distillation, teacher: Any = teacher) -> None:
        objective.check("kd", student.family, streams, teacher)

    check(Distillation("wiki", task="news"))
    check(Distillation("news", alpha=0.5))
    check(Distillation("wiki", tokens=Masked()))
    with pytest.raises(UserError, match=r"model.objectives.kd: Distillation needs model.teacher"):
        check(Distillation("news"), None)
    for objective in (
        Distillation("wiki"),
        Distillation("wiki", task="sim"),
        Distillation("news", task="nowhere"),
    ):
        with pytest.raises(UserError, match=r"no stream with classes; set task to one of \['news'\]"):
            check(objective)
    with pytest.raises(UserError, match=r"alpha is 0.5, but stream 'wiki' has no labels of 'news'"):
        check(Distillation("wiki", task="news", alpha=0.5))
    with pytest.raises(UserError, match="not both"):
        Distillation("wiki", task="news", tokens=Masked())
    for wrong in ({"temperature": 0.0}, {"alpha": 1.5}, {"alpha": -0.1}):
        with pytest.raises(UserError, match=r"temperature is 0.0|alpha is "):
            Distillation("news", **wrong)
