"""Weights in integers: torchao's, in as few bytes, and nearly the same answers."""

import pytest
import torch
from torch import nn

from research.errors import UserError
from research.models.compression import FactorisedEmbedding, Integers
from research.models.compression.integers import RoundedEmbedding, RoundedLinear, packed, unpacked
from research.models.compression.maps import expand

WIDE = {"hidden_size": 64, "intermediate_size": 96}


def test_two_in_a_byte_are_found_again() -> None:
    integers = torch.randint(-8, 8, (5, 64), dtype=torch.int8)
    assert packed(integers).shape == (5, 32) and torch.equal(unpacked(packed(integers)), integers)


def test_weights_of_8_bits_are_those_of_torchao() -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="the extra compression is not installed")
    torch.manual_seed(0)
    linear = nn.Linear(96, 40)
    ours = RoundedLinear(linear, 8)
    quantization.quantize_(linear, quantization.Int8WeightOnlyConfig(version=2))
    assert torch.equal(ours.integers, linear.weight.qdata)
    torch.testing.assert_close(ours.weight, linear.weight.dequantize())


@pytest.mark.parametrize(("bits", "within"), [(8, 1 / 255), (4, 1 / 14)])
def test_weights_are_no_further_than_half_a_step_of_their_group(bits: int, within: float) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 16)
    away = (RoundedLinear(linear, bits).weight - linear.weight).abs().detach()
    groups = (64 if bits == 8 else 32,)
    largest = linear.weight.detach().abs().unflatten(1, (-1, *groups)).amax(-1)
    assert (away.unflatten(1, (-1, *groups)).amax(-1) <= 1.01 * within * largest).all()


@pytest.mark.parametrize("bits", [8, 4])
def test_map_is_nearly_that_of_floats(bits: int) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(128, 64), torch.randn(7, 5, 128)
    ours = RoundedLinear(linear, bits)(x)
    exact, rounded = linear(x), x @ RoundedLinear(linear, bits).weight.T + linear.bias
    assert float((ours - rounded).detach().norm() / rounded.detach().norm()) < 0.02
    assert float((ours - exact).detach().norm() / exact.detach().norm()) < (0.02 if bits == 8 else 0.15)


def test_rows_are_looked_up() -> None:
    embedding = nn.Embedding(10, 64, padding_idx=0)
    for bits in (8, 4):
        ours = RoundedEmbedding(embedding, bits)
        ids = torch.tensor([[3, 0], [9, 3]])
        assert torch.equal(ours(ids), ours.weight[ids])


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("bits", [8, 4])
def test_student_in_integers(family, bits, made, hidden, vocabulary_logits, tmp_path) -> None:
    wide = {"bert": WIDE, "gpt2": {"n_embd": 64}, "t5": {"d_model": 64, "d_ff": 96}}[family]
    whole, small = (made(family, *methods, architecture=wide).float() for methods in ([], [Integers(bits)]))
    states, ours = hidden(whole), hidden(small)
    assert float((ours - states).norm() / states.norm()) < (0.05 if bits == 8 else 0.5)
    assert torch.equal(hidden(small), ours)
    sizes = []
    for student in (whole, small):
        torch.save(student.state_dict(), tmp_path / "state.pt")
        sizes.append((tmp_path / "state.pt").stat().st_size)
    assert sizes[1] < (0.6 if bits == 8 else 0.5) * sizes[0]  # of such small ones much is norms, biases and names
    logits = vocabulary_logits(small, states)
    weights = {name: module.weight for name, module in small.model.named_modules() if isinstance(module, RoundedLinear)}
    expand(small.model)
    for name, weight in weights.items():
        torch.testing.assert_close(small.model.get_submodule(name).weight, weight)
    torch.testing.assert_close(vocabulary_logits(small, states), logits, rtol=0.1, atol=0.1 * float(logits.std()))


def test_factorised_embedding_in_integers(made, hidden) -> None:
    float_, both = (
        made("bert", *more).float() for more in ([FactorisedEmbedding(31)], [FactorisedEmbedding(31), Integers()])
    )
    assert float((hidden(both) - hidden(float_)).norm() / hidden(float_).norm()) < 0.05
    with pytest.raises(UserError, match="in integers already"):
        Integers().apply(both.model, both.family)


def test_other_bits_are_refused() -> None:
    with pytest.raises(UserError, match="bits is 2; it must be 8 or 4"):
        Integers(2)
