"""Heads against torch's own losses; what a loss over nothing gives."""

import pytest
import torch
import torch.nn.functional as F

from research.models.heads import ClassificationHead, VocabularyHead


@pytest.fixture
def head() -> VocabularyHead:
    torch.manual_seed(0)
    features = torch.randn(7, 4, requires_grad=True)
    return VocabularyHead(features, torch.randn(11, 4, requires_grad=True), torch.randn(11, requires_grad=True))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [True, False])
def test_cross_entropy_and_its_gradients_are_torchs(head: VocabularyHead, reduction: str, bias: bool) -> None:
    labels = torch.tensor([0, 3, 10, 3, 1, 7, 2])
    head.bias = head.bias if bias else None
    inputs = [x for x in (head.features, head.weight, head.bias) if x is not None]
    logits = F.linear(head.features, head.weight, head.bias)
    expected = F.cross_entropy(logits, labels, reduction=reduction)
    got = head.cross_entropy(labels, reduction=reduction)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(expected.sum(), inputs))


def test_divergence_is_the_mean_over_positions(head: VocabularyHead) -> None:
    teacher = VocabularyHead(torch.randn(7, 6), torch.randn(11, 6), torch.randn(11))

    def kl(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        return F.kl_div(mine.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="none").sum(-1)

    mine = F.linear(head.features, head.weight, head.bias).log_softmax(-1)
    theirs = F.linear(teacher.features, teacher.weight, teacher.bias).log_softmax(-1)
    expected = F.kl_div(mine, theirs, log_target=True, reduction="batchmean")
    torch.testing.assert_close(head.divergence(teacher, kl), expected)


def test_no_position_gives_zero_with_a_graph() -> None:
    weight = torch.randn(11, 4)
    empty = VocabularyHead(torch.zeros(0, 4, requires_grad=True), weight, None)
    none = torch.zeros(0, dtype=torch.long)
    for loss in (empty.cross_entropy(none), empty.divergence(empty, lambda a, b: (a - b).sum(-1))):
        assert loss.item() == 0.0
        loss.backward()


def test_classification_head_drops_out_in_training_alone() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(64, 3, dropout=0.5)
    assert not head.linear.bias.any() and 0.015 < head.linear.weight.std() < 0.025
    states = torch.randn(5, 64)
    torch.testing.assert_close(head.eval()(states), states @ head.linear.weight.T)
    assert not torch.equal(head.train()(states), head(states))
