"""What fake quantisation shows a student in training is what integers keep."""

import pytest
import torch
from torch import nn

from research.models.compression import Integers, QuantisationAware
from research.models.compression.integers import RoundedLinear
from research.step import Clean

pytest.importorskip("torchao", reason="the extra compression is not installed")
WIDE = {"hidden_size": 64, "intermediate_size": 96}


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_are_those_of_integers(bits, made) -> None:
    student = made("bert", architecture=WIDE).float()
    linear = student.model.bert.encoder.layer[0].output.dense
    kept = RoundedLinear(linear, bits).weight
    QuantisationAware(bits).apply(student.model, student.family)
    trained = student.model.bert.encoder.layer[0].output.dense
    assert type(trained) is not nn.Linear and trained.weight is linear.weight
    away = (trained.weight_fake_quantizer(trained.weight) - kept).detach().abs()
    step = RoundedLinear(linear, bits).scale.float().repeat_interleave(96 if bits == 8 else 32, 1)
    assert (away < 0.01 * step).float().mean() > 0.98 and (away < 1.01 * step).all()  # halves go up or down


@pytest.mark.parametrize("bits", [8, 4])
def test_training_on_the_grid_and_then_in_integers(bits, made, hidden, batch_of, texts) -> None:
    student = made("bert", QuantisationAware(bits), architecture=WIDE, dropout=0.0).float().train()
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = student.vocabulary_head(student(tokens).hidden[tokens.mask]).cross_entropy(tokens.ids[tokens.mask])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    states = hidden(student.eval())
    names = set(student.state_dict())
    assert names == set(made("bert", architecture=WIDE).state_dict())
    Integers(bits).apply(student.model, student.family)
    assert float((hidden(student) - states).norm() / states.norm()) < (
        0.05 if bits == 8 else 0.2
    )  # words are rounded now
