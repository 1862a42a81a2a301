"""Dropout against its definition and against torch's."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from research.models.dropout import PIECE, Dropout, Masked, draw, factor, use_fast_dropout


def mask_of(shape: tuple[int, ...], probability: float) -> Tensor:
    return factor(draw(shape, probability), shape)


@pytest.mark.parametrize("probability", [0.9, 0.5, 0.02])
def test_shares_of_a_mask(probability: float) -> None:
    torch.manual_seed(0)
    mask = mask_of((40, 8, 64, 63), probability)
    assert mask.shape == (40, 8, 64, 63)
    n = mask.numel()
    assert abs(mask.float().mean().item() - probability) < 5 * (probability * (1 - probability) / n) ** 0.5 + 2**-16
    pairs = (mask[..., 1:] == mask[..., :-1]).float().mean().item()  # neighbours are independent
    assert abs(pairs - (probability**2 + (1 - probability) ** 2)) < 0.005


def test_certainty() -> None:
    assert mask_of((1000, 1000), 1 - 2**-30).float().mean() > 0.9999
    assert not mask_of((1000, 1000), 2**-30).any()


def test_threads_change_no_mask() -> None:
    """A mask of several seeds is the same whatever draws them, and no two of its pieces are alike."""
    before, masks = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            masks.append(draw((5, PIECE // 2), 0.5))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*masks)
    first, second, _ = masks[0].flatten().split(PIECE // 8)
    assert not torch.equal(first, second)


def test_what_stays_is_scaled_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 31, dtype=torch.float64, requires_grad=True)
    out = Dropout(0.3).train()(x)
    dropped = out == 0
    assert 0.2 < dropped.double().mean() < 0.4
    torch.testing.assert_close(out, torch.where(dropped, 0.0, x / 0.7))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(dropped, 0.0, 1 / 0.7).double())


def test_gradcheck() -> None:
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    bits = draw((4, 5), 0.6)
    assert torch.autograd.gradcheck(lambda y: Masked.apply(y, bits, 1.7), x)
    assert torch.autograd.gradgradcheck(lambda y: Masked.apply(y, bits, 1.7), x)


@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (4,), (2, 8, 16)])
def test_a_mask_is_bits(shape: tuple[int, ...]) -> None:
    """Rows begin at whole bytes, so that some of them are a mask of their own."""
    torch.manual_seed(0)
    bits = draw(shape, 0.5)
    assert bits.shape == (shape[0], -(-math.prod(shape[1:]) // 8))
    mask = factor(bits, shape)
    assert mask.shape == shape
    assert torch.equal(factor(bits[1:], (max(shape[0] - 1, 0), *shape[1:])), mask[1:])


def test_a_bit_an_element_is_all_that_is_kept() -> None:
    node: Any = Dropout(0.3).train()(torch.randn(50, 16, requires_grad=True)).grad_fn
    assert [kept.untyped_storage().nbytes() for kept in node.saved_tensors] == [100]


def test_the_seed_decides_and_evaluation_drops_nothing() -> None:
    layer, x = Dropout(0.5), torch.ones(20, 30)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(layer.train()(x))
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    assert layer.eval()(x) is x
    assert torch.equal(Dropout(1.0).train()(x), nn.Dropout(1.0).train()(x))


def test_every_layer_of_a_model_gets_it() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(0.2), nn.ReLU()), nn.Dropout(0.1)).eval()
    use_fast_dropout(model)
    found = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert [type(m) for m in found] == [Dropout, Dropout] and [m.p for m in found] == [0.2, 0.1]
    assert not any(m.training for m in found)
