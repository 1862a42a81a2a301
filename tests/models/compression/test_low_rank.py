"""Maps of low rank: the nearest of their rank, and the same map where the rank is whole."""

import numpy as np
import pytest
import torch
from torch import nn

from research.errors import UserError
from research.models.compression import FactorisedEmbedding, LowRank
from research.models.compression.low_rank import LowRankLinear
from research.models.compression.maps import expand


def test_distance_is_that_of_the_singular_values_left_out() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(20, 12).double()
    low = LowRankLinear(linear, 5)
    left_out = np.linalg.svd(linear.weight.detach().numpy(), compute_uv=False)[5:]
    distance = float((low.weight - linear.weight).square().sum())
    assert distance == pytest.approx(float((left_out**2).sum()))
    x = torch.randn(3, 20, dtype=torch.float64)
    torch.testing.assert_close(low(x), x @ low.weight.T + linear.bias)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_maps_of_the_layers_get_smaller(family, made, hidden) -> None:
    whole, low = made(family), made(family, LowRank(8))
    layers = [p for name, p in low.named_parameters() if ".up." in name or ".down." in name]
    assert layers and all(8 in p.shape for p in layers if p.dim() == 2)
    assert sum(p.numel() for p in low.parameters()) < sum(p.numel() for p in whole.parameters())
    near = made(family, LowRank(15))
    away = [float((hidden(one) - hidden(whole)).square().mean()) for one in (low, near)]
    assert 0 < away[1] < away[0]
    states = hidden(low)
    expand(low.model)
    assert not any(".up." in name for name, _ in low.named_parameters())
    torch.testing.assert_close(hidden(low), states)


def test_rank_that_saves_nothing_is_refused(made) -> None:
    with pytest.raises(UserError, match="rank 500 makes no map of the model smaller"):
        made("bert", LowRank(500))
    with pytest.raises(UserError, match="rank is 0"):
        LowRank(0)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_factorised_embedding_of_nearly_the_whole_width(family, made, hidden, vocabulary_logits) -> None:
    whole, narrow = made(family), made(family, FactorisedEmbedding(31))
    old, new = whole.model.get_input_embeddings().weight, narrow.model.get_input_embeddings().weight
    least = np.linalg.svd(old.detach().numpy(), compute_uv=False)[-1]
    assert float((old - new).detach().norm()) == pytest.approx(float(least))
    states = hidden(narrow)
    features = narrow.family.lm_transform(narrow.model)
    with torch.no_grad():
        transformed = states if features is None else features(states)
        output = narrow.model.get_output_embeddings()
        expected = transformed @ new.T + (0 if output.bias is None else output.bias)
    logits = vocabulary_logits(narrow, states)
    torch.testing.assert_close(logits, expected)
    expand(narrow.model)
    torch.testing.assert_close(hidden(narrow), states)
    torch.testing.assert_close(vocabulary_logits(narrow, states), logits)


def test_factorised_embedding_is_trained_through_input_and_output(made, batch_of, texts) -> None:
    from research.step import Clean

    student = made("bert", FactorisedEmbedding(8)).train()
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    student.vocabulary_head(student(tokens).hidden[tokens.mask]).cross_entropy(tokens.ids[tokens.mask]).backward()
    embedding = student.model.get_input_embeddings()
    unread = set(range(len(student.tokenizer))) - set(tokens.ids.flatten().tolist())
    assert embedding.rows.weight.grad[sorted(unread)].abs().sum() > 0  # by the output alone
    assert embedding.up.weight.grad.abs().sum() > 0
    with pytest.raises(UserError, match="size is 32; it must be at least 1 and below the width, 32"):
        made("bert", FactorisedEmbedding(32))
