"""The pull towards first weights against autograd on its formula."""

from typing import Any

import pytest
import torch

from research.objectives.anchored import pull, trained


def tensors(seed: int) -> list[torch.Tensor]:
    generator = torch.manual_seed(seed)
    shapes = (515, 512), (5,), (2, 2, 2)  # the first is more than a block
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient(weighted: bool) -> None:
    weights = [w.requires_grad_() for w in tensors(0)]
    anchors, importance = tensors(1), [f.abs() for f in tensors(2)]
    formula = sum(
        ((importance[i] if weighted else 1.0) * (w - a) ** 2).sum() / 2
        for i, (w, a) in enumerate(zip(weights, anchors, strict=True))
    )
    expected = torch.autograd.grad(3 * formula, weights)
    loss = pull(weights, anchors, importance if weighted else None)
    assert loss.item() == pytest.approx(formula.item(), rel=1e-12)
    for _ in range(2):  # a second time through the same graph, as weightings by gradient go
        for got, want in zip(torch.autograd.grad(3 * loss, weights, retain_graph=True), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


def test_nothing_is_trained() -> None:
    assert pull([], []).item() == 0


def test_what_is_trained(tiny: Any) -> None:
    """Tied weights once, frozen ones not."""
    student = tiny("bert", freeze_layers=1)
    names = {name for name, p in student.model.named_parameters() if any(p is t for t in trained(student))}
    assert all("layer.1" in name or name.startswith("cls") for name in names)
    assert len([p for p in trained(student) if p.shape == student.model.get_output_embeddings().weight.shape]) == 0
    whole = trained(tiny("bert"))
    assert len({id(p) for p in whole}) == len(whole) == len(list(tiny("bert").model.parameters()))
