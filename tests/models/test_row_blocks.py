"""A loss a few rows at a time is the loss of all at once, and so is its gradient."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from research.models import row_blocks
from research.models.row_blocks import by_rows
from research.objectives.divergence import forward_kl, jensen_shannon


def tempered(student: Tensor, teacher: Tensor) -> Tensor:
    return forward_kl(student / 2, teacher / 2)


LOSSES = {
    "cross entropy": (partial(F.cross_entropy, reduction="none"), torch.tensor([3, 0, 10, 3, 7])),
    "forward KL": (tempered, torch.linspace(-2, 2, 55).sin().view(5, 11)),
    "Jensen-Shannon": (partial(jensen_shannon, beta=0.3), torch.linspace(-2, 2, 55).sin().view(5, 11)),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a block, and one at the end."""
    monkeypatch.setattr(row_blocks, "BLOCK", 22)


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(5, 11, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("name", LOSSES)
def test_equal_losses_and_gradients(name: str, logits: Tensor) -> None:
    loss, other = LOSSES[name]
    whole, blocks = loss(logits, other), by_rows(loss, logits, other)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=0)
    weights = torch.arange(1.0, 6.0)  # each row's gradient is its own
    expected, got = (torch.autograd.grad(each, logits, weights, retain_graph=True)[0] for each in (whole, blocks))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(blocks, logits, weights)[0], expected)  # twice, as a norm needs


def test_one_gradient_is_all_that_is_kept(logits: Tensor) -> None:
    loss, other = LOSSES["forward KL"]
    node: Any = by_rows(loss, logits, other).grad_fn
    assert [kept.shape for kept in node.saved_tensors] == [(5, 11)]


def test_autocast(logits: Tensor) -> None:
    loss, other = LOSSES["forward KL"]
    narrow = logits.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        whole, blocks = loss(narrow, other), by_rows(loss, narrow, other)
    assert blocks.dtype == whole.dtype
    torch.testing.assert_close(blocks, whole)
    expected, got = (torch.autograd.grad(each.sum(), narrow)[0] for each in (whole, blocks))
    torch.testing.assert_close(got, expected, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("reason", ["no gradient", "a gradient of the other too"])
def test_elsewhere_it_is_the_plain_loss(reason: str, logits: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    apply: Callable[..., Tensor] = pytest.fail
    monkeypatch.setattr(row_blocks.RowBlocks, "apply", apply)
    loss, other = LOSSES["forward KL"]
    mine, theirs = (logits.detach(), other) if reason == "no gradient" else (logits, logits * 2)
    torch.testing.assert_close(by_rows(loss, mine, theirs), loss(mine, theirs))
