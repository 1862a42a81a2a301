"""Mixout by hand, on average, and in models whose weights keep their names."""

from typing import Any

import pytest
import torch

from research.errors import UserError
from research.models import Student
from research.models.mixout import MixedLinear, mixout


def test_by_hand() -> None:
    """w = 3, u = 1, p = 1/4: u stays in (1 - 1/4) / (3/4) = 1, w becomes (3 - 1/4) / (3/4) = 11/3."""
    torch.manual_seed(0)
    mixed = mixout(torch.full((100, 200), 3.0), torch.full((100, 200), 1.0), 0.25)
    first = mixed == 1.0
    assert (mixed[~first] - 11 / 3).abs().max() < 1e-6
    assert first.double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert mixed.double().mean().item() == pytest.approx(3.0, abs=0.03)


def test_gradient_passes_where_the_weight_stays() -> None:
    weight = torch.randn(20, 30, dtype=torch.float64, requires_grad=True, generator=torch.manual_seed(1))
    first = torch.zeros(20, 30, dtype=torch.float64)
    mixed = mixout(weight, first, 0.5)
    mixed.sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, 2.0 * (mixed != 0))


def tokens(kind: str, make: Any, read: Any) -> tuple[Student, Student, Any]:
    plain, mixed = (make(kind, dropout=0.0, **given) for given in ({}, {"mixout": 0.6}))
    mixed.load_state_dict(plain.state_dict())
    return plain.double(), mixed.double(), read(plain)


def test_students(kind: str, make: Any, read: Any) -> None:
    """At first all masks give the plain model; once the weights moved, training mixes and evaluation does not."""
    plain, mixed, given = tokens(kind, make, read)
    assert plain.state_dict().keys() == mixed.state_dict().keys()
    replaced = [name for name, m in mixed.named_modules() if isinstance(m, MixedLinear)]
    assert len(replaced) >= 16 and not isinstance(mixed.model.get_output_embeddings(), MixedLinear)
    expected = plain(given).hidden
    torch.testing.assert_close(mixed.train()(given).hidden, expected, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        for one, other in zip(plain.parameters(), mixed.parameters(), strict=True):
            one.add_(0.05)
            other.add_(0.05)
    drawn = [mixed(given).hidden for _ in range(2)]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
    torch.testing.assert_close(mixed.eval()(given).hidden, plain(given).hidden, rtol=1e-9, atol=1e-9)


def test_a_saved_backbone_is_the_plain_one(kind: str, make: Any, read: Any, tmp_path: Any) -> None:
    mixed = make(kind, mixout=0.5)
    mixed.model.save_pretrained(tmp_path)
    mixed.tokenizer.save_pretrained(tmp_path)
    loaded = Student(str(tmp_path))
    loaded.build()
    assert not any(isinstance(m, MixedLinear) for m in loaded.modules())
    torch.testing.assert_close(loaded.eval()(read(mixed)).hidden, mixed(read(mixed)).hidden)


def test_frozen_weights_are_left_alone(make: Any) -> None:
    student = make("bert", mixout=0.5, freeze_layers=3)
    replaced = {name for name, m in student.named_modules() if isinstance(m, MixedLinear)}
    assert replaced and all("layer.3." in name or ".cls." in name for name in replaced)


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_impossible_probability(probability: float) -> None:
    with pytest.raises(UserError, match=r"model\.student: mixout is .*; it must lie in \[0, 1\)"):
        Student("package:minilm", mixout=probability)
