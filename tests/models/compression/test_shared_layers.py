"""Layers that share weights: as many layers, fewer parameters, one gradient."""

import pytest
import torch

from research.errors import UserError
from research.models.compression import Integers, LowRank, SharedLayers
from research.models.compression.shared_layers import first_of

DEEP = {"num_hidden_layers": 4}


def test_groups_are_of_like_size() -> None:
    assert [first_of(i, 6, 2) for i in range(6)] == [0, 0, 0, 3, 3, 3]
    assert [first_of(i, 5, 2) for i in range(5)] == [0, 0, 0, 3, 3]
    assert [first_of(i, 4, 1) for i in range(4)] == [0, 0, 0, 0]


def test_each_layer_is_the_first_of_its_group(made, hidden) -> None:
    whole, shared = made("bert", architecture=DEEP), made("bert", SharedLayers(2), architecture=DEEP)
    layers = whole.model.bert.encoder.layer
    for one, other in ((1, 0), (3, 2)):
        layers[one].load_state_dict(layers[other].state_dict())
    torch.testing.assert_close(hidden(shared), hidden(whole))
    layer = sum(p.numel() for p in layers[0].parameters())
    assert sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in shared.parameters()) == 2 * layer
    assert shared.depth == 4


def test_trained_weights_stay_one(made, batch_of, texts) -> None:
    from research.step import Clean

    student = made("bert", SharedLayers(1), architecture=DEEP).train()
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    before = student.model.bert.encoder.layer[3].output.dense.weight.clone()
    encoded = student(tokens, frozenset({"hidden"}))
    assert len(encoded.stacks[0].hidden) == 5  # hooks are a layer's own
    encoded.hidden.square().mean().backward()
    optimiser.step()
    weights = [layer.output.dense.weight for layer in student.model.bert.encoder.layer]
    assert all(weight is weights[0] for weight in weights) and not torch.equal(weights[3], before)


@pytest.mark.parametrize("more", [LowRank(8), Integers(8)])
def test_other_methods_keep_them_shared(more, made, tmp_path) -> None:
    sizes = []
    for methods in ([more], [SharedLayers(1), more]):
        torch.save(made("bert", *methods, architecture=DEEP).float().state_dict(), tmp_path / "state.pt")
        sizes.append((tmp_path / "state.pt").stat().st_size)
    assert sizes[1] < 0.85 * sizes[0]  # the rest is the embedding


def test_groups_that_share_nothing_are_refused(made) -> None:
    with pytest.raises(UserError, match="groups is 2; it must be at least 1 and below the number of layers, 2"):
        made("bert", SharedLayers(2))
