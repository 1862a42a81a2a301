"""Several teachers against the formula in numpy, and against a distillation from their averaged distribution."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.masking import Masked
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import LiveTeacher, TeacherEnsemble
from research.models.teachers.ensemble import mixed_logits
from research.objectives.divergence import forward_kl
from research.step import Clean

INFO = {"s": StreamInfo("classify", ("a", "b", "c"))}
WEIGHTS = {"first": 3.0, "second": 1.0}


@pytest.fixture
def ensemble(tiny: Any, tmp_path: Path) -> Callable[[], TeacherEnsemble]:
    def ensemble() -> TeacherEnsemble:
        members: dict[str, Any] = {}
        for seed, name in enumerate(WEIGHTS, 5):
            student = tiny("bert", seed=seed)
            student.model.save_pretrained(tmp_path / name)
            student.tokenizer.save_pretrained(tmp_path / name)
            members[name] = LiveTeacher(str(tmp_path / name))
        both = TeacherEnsemble(members, WEIGHTS)
        both.build(torch.device("cpu"))
        for member in members.values():
            member.student.double()
        return both

    return ensemble


def test_class_probabilities_are_the_weighted_mean(ensemble: Any, tiny: Any, texts: list[str], batch_of: Any) -> None:
    both = ensemble()
    batch = batch_of(tiny("bert"), texts, [Clean()], [0, 1, 2, 1, 0, 2, 2, 1])
    both.check(tiny("bert"), INFO)
    for member in both.members.values():
        member.fit_probe("s", [batch], "abc")
        member.student.double()
    got = both.answer("s", Clean(), batch.views[Clean()]).class_logits("s").softmax(-1).numpy()
    logits = [m.answer("s", Clean(), batch.views[Clean()]).class_logits("s").numpy() for m in both.members.values()]
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in logits)
    np.testing.assert_allclose(got, 0.75 * p + 0.25 * q, atol=1e-6)
    assert np.abs(p - q).max() > 1e-3


def test_each_member_learns_the_task_from_all_batches(
    ensemble: Any, tiny: Any, texts: list[str], batch_of: Any
) -> None:
    """Although batches can be read once alone."""
    both = ensemble()
    batch = batch_of(tiny("bert"), texts, [Clean()], [0, 1, 2, 1, 0, 2, 2, 1])
    for member in both.members.values():
        member.student.float()
    both.fit_probe("s", iter([batch]), "abc")
    assert all(member.student.heads["s"].linear.weight.any() for member in both.members.values())


def test_tokens_have_the_gradient_of_the_averaged_distribution(
    ensemble: Any, tiny: Any, texts: list[str], batch_of: Any
) -> None:
    both, student, view, t = ensemble(), tiny("bert"), Masked(0.4), 2.0
    tokens = batch_of(student, texts, [view]).views[view]
    features, labels = student(tokens).at_labels()
    parameters = [p for p in student.model.parameters() if p.requires_grad]
    loss = both.answer("s", view, tokens).divergence(student.vocabulary_head(features), forward_kl, t)

    heads = [m.answer("s", view, tokens) for m in both.members.values()]
    theirs = [
        m.student.vocabulary_head(a.encoded.at_labels()[0]).logits
        for m, a in zip(both.members.values(), heads, strict=True)
    ]
    mean = 0.75 * (theirs[0] / t).softmax(-1) + 0.25 * (theirs[1] / t).softmax(-1)
    mine = (student.vocabulary_head(features).logits / t).log_softmax(-1)
    reference = -(mean * mine).sum(-1).mean()
    got, expected = (
        torch.autograd.grad(x, parameters, retain_graph=True, allow_unused=True) for x in (loss, reference)
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-8)
    assert len(labels) and loss > 0


def test_mixing_is_the_mean_of_probabilities() -> None:
    logits = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    expected = (weights[:, None, None] * logits.softmax(-1)).sum(0)
    torch.testing.assert_close(mixed_logits(logits, weights).exp(), expected)


def test_refusals(ensemble: Any, tiny: Any, texts: list[str], batch_of: Any) -> None:
    member = LiveTeacher("some/name")
    with pytest.raises(UserError, match="give at least one teacher"):
        TeacherEnsemble({})
    with pytest.raises(UserError, match=r"weights name \['b'\], members are \['a'\]"):
        TeacherEnsemble({"a": member}, {"b": 1.0})
    with pytest.raises(UserError, match=r"weights.a is 0.0; it must be above 0"):
        TeacherEnsemble({"a": member}, {"a": 0.0})
    both = ensemble()
    with pytest.raises(UserError, match="its tokenizer differs"):
        both.check(tiny("gpt2"), INFO)
    tokens = batch_of(tiny("bert"), texts, [Clean()]).views[Clean()]
    with pytest.raises(UserError, match="no hidden states in common"):
        _ = both.answer("s", Clean(), tokens).encoded
    with pytest.raises(UserError, match="answers of a TeacherEnsemble cannot be cached"):
        both.fingerprint()
