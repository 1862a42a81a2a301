"""Layers are left out in training alone, as often as asked."""

from itertools import pairwise

import pytest
import torch

from research.errors import UserError
from research.models.compression import LayerDrop
from research.step import Clean

DEEP = {"num_hidden_layers": 6}


@pytest.fixture
def student(made):
    return made("bert", LayerDrop(0.3), architecture=DEEP, dropout=0.0)


def ran(student, tokens) -> int:
    """How many of its layers change the states."""
    hidden = student(tokens, frozenset({"hidden"})).stacks[0].hidden
    return sum(not torch.equal(a, b) for a, b in pairwise(hidden))


def test_share_of_layers(student, batch_of, texts) -> None:
    tokens = batch_of(student, texts[:2], [Clean()]).views[Clean()]
    assert ran(student, tokens) == 6
    student.train()
    torch.manual_seed(0)
    counts = [ran(student, tokens) for _ in range(100)]
    assert sum(counts) / 600 == pytest.approx(0.7, abs=0.06)  # three standard deviations
    torch.manual_seed(0)
    assert [ran(student, tokens) for _ in range(100)] == counts


def test_without_it_in_evaluation(student, made, hidden) -> None:
    torch.testing.assert_close(hidden(student), hidden(made("bert", architecture=DEEP, dropout=0.0)))


def test_refusals(made) -> None:
    with pytest.raises(UserError, match=r"rate is 1; it must lie in \(0, 1\)"):
        LayerDrop(1)
    with pytest.raises(UserError, match="of one stack of layers"):
        made("t5", LayerDrop(0.2))
