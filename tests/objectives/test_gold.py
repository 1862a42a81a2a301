"""GOLD against its formula in numpy, on hand-made distributions and on two models."""

from typing import Any

import numpy as np
import pytest
import torch

from research.models.alignment import align, respell, spell
from research.objectives import GOLD
from research.objectives.gold import gold_loss
from research.step import Step

TEXTS = ["The first of the United States was 味道 😀 there.", "It is the first of these.", "no"]


def formula(p: np.ndarray, q: np.ndarray, theirs: np.ndarray, mine: np.ndarray) -> float:
    """Of the teacher's probabilities (or parts of them) p, and the student's q."""
    a, b = p[theirs], q[mine]
    matched = (a * np.log(a / b) - a + b).sum()
    rest = [np.sort(np.delete(x, ids))[::-1] for x, ids in ((p, theirs), (q, mine))]
    width = max(map(len, rest))
    first, second = (np.pad(x, (0, width - len(x))) for x in rest)
    weight = len(theirs) / len(p)
    return weight * matched + (1 - weight) * np.abs(first - second).sum()


def test_formula() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), 4), 0.3 * rng.dirichlet(np.ones(9), 4)
    shared = np.array([[8, 2, 0], [1, 5, 3]])
    got = gold_loss(torch.from_numpy(q).log(), torch.from_numpy(p).log(), torch.from_numpy(shared))
    expected = [formula(a, b, shared[1], shared[0]) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    same = torch.from_numpy(p).log()
    torch.testing.assert_close(gold_loss(same, same, torch.arange(6).expand(2, 6)), torch.zeros(4).double())
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[1, 4], [0, 3]])
    assert torch.autograd.gradcheck(lambda s: gold_loss(s.log_softmax(-1), same[:3], ids), logits)


def test_spans_are_merged_by_the_product_of_probabilities(tiny: Any, aligned: Any, batch_of: Any) -> None:
    student = tiny("gpt2")
    teacher = aligned(student)
    objective = GOLD("s", temperature=2.0)
    step = Step({"s": batch_of(student, TEXTS, objective.views())}, student, teacher, {"s": objective.views()})
    loss = objective(step)

    mine, theirs = teacher.shared
    found, merged = [], 0
    for text in TEXTS:
        sides = []
        for model in (student, teacher.student):
            ids = [*model.tokenizer(text, add_special_tokens=False)["input_ids"], model.vocabulary.end]
            with torch.no_grad():
                logits = model.model(input_ids=torch.tensor([ids])).logits[0]
            sides.append((ids, (logits / 2.0).softmax(-1).numpy()))
        (ids, q), (their_ids, p) = sides
        ends = np.append(spell(student.tokenizer, ids[:-1])[1], 10_000)
        their_ends = np.append(respell(teacher.tokenizer, text)[1], 10_000)
        for a, b, c, d in zip(*align(ends, their_ends), strict=True):
            if a and c:
                mine_rest = np.prod([q[t - 1][ids[t]] for t in range(a + 1, b + 1)])
                their_rest = np.prod([p[t - 1][their_ids[t]] for t in range(c + 1, d + 1)])
                merged += b > a or d > c
                found.append(formula(p[c - 1] * their_rest, q[a - 1] * mine_rest, theirs, mine))
    assert merged > 5
    assert loss.item() == pytest.approx(np.mean(found), abs=1e-9)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.student.parameters())
