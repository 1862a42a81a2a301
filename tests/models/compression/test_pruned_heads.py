"""Attention without heads is attention whose heads give zero."""

import pytest
import torch

from research.errors import UserError
from research.models.compression import Integers, PrunedHeads
from research.models.compression.maps import expand

FOUR = {"num_attention_heads": 4}


def silence(student, layer: int, heads: list[int]) -> None:
    """Let heads of a student give zero, which is computed in full."""

    def zero(_, given):
        states = given[0].clone().unflatten(-1, (4, -1))
        states[..., heads, :] = 0
        return (states.flatten(-2),)

    student.model.bert.encoder.layer[layer].attention.output.dense.register_forward_pre_hook(zero)


def test_what_is_left_is_what_zero_heads_leave(made, hidden) -> None:
    whole, pruned = (
        made("bert", architecture=FOUR),
        made("bert", PrunedHeads({0: [1], 1: [0, 2, 3]}), architecture=FOUR),
    )
    everything = hidden(whole)
    silence(whole, 0, [1])
    silence(whole, 1, [0, 2, 3])
    states = hidden(pruned)
    torch.testing.assert_close(states, hidden(whole))
    assert not torch.allclose(states, everything)
    head = 4 * 8 * 32 + 3 * 8  # three maps to 8 units with biases, and one from them
    count = [sum(p.numel() for p in student.parameters()) for student in (whole, pruned)]
    assert count[0] - count[1] == 4 * head
    expand(pruned.model)
    torch.testing.assert_close(hidden(pruned), states)


def test_integers_of_what_is_left(made, hidden) -> None:
    pruned, both = (made("bert", *more, architecture=FOUR).float() for more in (
        [PrunedHeads({0: [1]})], [PrunedHeads({0: [1]}), Integers()]))  # fmt: skip
    assert float((hidden(both) - hidden(pruned)).norm() / hidden(pruned).norm()) < 0.05


@pytest.mark.parametrize(
    ("family", "heads", "told"),
    [
        ("bert", {2: [0]}, "there is no layer 2; the model has 2"),
        ("bert", {0: [0, 1]}, r"heads of layer 0 are \[0, 1\]; give some of 0 to 1, not all"),
        ("gpt2", {0: [0]}, "where gpt2 keeps its heads is not known here"),
    ],
)
def test_heads_that_are_not_there(family, heads, told, made) -> None:
    with pytest.raises(UserError, match=told):
        made(family, PrunedHeads(heads))
