"""ULD against its formula in numpy and an optimal transport of scipy; what it is for, on real text."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from research.data.masking import NextToken
from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import ULD
from research.objectives.uld import sorted_distance
from research.step import Step

TEXTS = ["The first of the United States 味道 😀 was there.", "It is the first of these.", "no"]
T = 1.5


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()


def test_formula() -> None:
    """Equal to the cheapest way of pairing tokens, by the Hungarian method, at a cost of |p - q| a pair."""
    rng = np.random.default_rng(0)
    student, teacher = rng.dirichlet(np.ones(7), 5), rng.dirichlet(np.ones(4), 5)
    got = sorted_distance(torch.from_numpy(student), torch.from_numpy(teacher))
    for p, q, value in zip(student, teacher, got.tolist(), strict=True):
        cost = np.abs(p[:, None] - np.pad(q, (0, 3))[None])
        assert value == pytest.approx(cost[linear_sum_assignment(cost)].sum())
    torch.testing.assert_close(sorted_distance(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.9]])),
                               torch.tensor([0.8]))  # fmt: skip
    parts = torch.randn(3, 6, dtype=torch.float64, requires_grad=True), torch.randn(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: sorted_distance(s.softmax(-1), parts[1].softmax(-1)), parts[0])


def test_loss_is_the_mean_over_spans(tiny: Any, aligned: Any, batch_of: Any) -> None:
    """Worked out from the full logits of both models, at the places where byte counts agree."""
    student = tiny("gpt2")
    teacher = aligned(student)
    objective = ULD("s", temperature=T)
    step = Step({"s": batch_of(student, TEXTS, objective.views())}, student, teacher, {"s": objective.views()})
    loss = objective(step)

    found = []
    for text in TEXTS:
        sides = []
        for model in (student, teacher.student):
            ids = [*model.tokenizer(text, add_special_tokens=False)["input_ids"], model.vocabulary.end]
            with torch.no_grad():
                logits = model.model(input_ids=torch.tensor([ids])).logits[0].numpy()
            texts = [model.tokenizer.decode(ids[:t]) for t in range(len(ids))]
            places = {len(t.encode()): i for i, t in enumerate(texts) if i and "\ufffd" not in t}
            sides.append({place: np.sort(softmax(logits[i - 1] / T))[::-1] for place, i in places.items()})
        for place in sides[0].keys() & sides[1].keys():
            mine, theirs = sides[0][place], sides[1][place]
            found.append(np.abs(mine - np.pad(theirs, (0, len(mine) - len(theirs)))).sum())
    assert loss.item() == pytest.approx(np.mean(found), abs=1e-9)
    loss.backward()
    assert student.model.transformer.wte.weight.grad.any()


def test_no_span_gives_zero_with_a_graph(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    objective = ULD("s")
    batch = batch_of(student, [""], objective.views())
    loss = objective(Step({"s": batch}, student, aligned(student), {"s": objective.views()}))
    assert loss.item() == 0
    loss.backward()


def test_refusals(tiny: Any, aligned: Any, teacher_of: Any) -> None:
    student, streams = tiny("gpt2"), {"s": StreamInfo("unlabelled")}
    for teacher in (None, teacher_of(student)):
        with pytest.raises(UserError, match=r"model.objectives.uld: needs a decoder as model.teacher"):
            ULD("s").check("uld", student.family, streams, teacher)
    ULD("s").check("uld", student.family, streams, aligned(student))
    with pytest.raises(UserError, match="needs a decoder"):
        ULD("s").check("uld", student.family, streams, aligned(student, "bert", size=500))
    with pytest.raises(UserError, match="no meaning for a student of the encoder"):
        ULD("s").check("uld", tiny("bert").family, streams, aligned(student))
    with pytest.raises(UserError, match="temperature is 0"):
        ULD("s", temperature=0)
    assert ULD("s").view == NextToken()
