"""An objective that says it is a sum over examples gives a batch the mean of what it gives its rows, each alone."""

import importlib
import pkgutil
from typing import Any

import pytest
import torch

import research.objectives
from research.data.masking import Masked
from research.data.rows import rows_of
from research.objectives import (
    CausalLM,
    Classification,
    Distillation,
    EmbeddingDistillation,
    Generation,
    MaskedLM,
    Objective,
    SpanCorruption,
)

LABELS = [0, 1, 2, 1, 0, 2, 2, 1]
TAUGHT = {
    "Distillation": ("bert", lambda: Distillation("s", tokens=Masked())),
    "EmbeddingDistillation": ("bert", lambda: EmbeddingDistillation("s")),
}
CASES = {
    "Classification": ("bert", lambda: Classification("s")),
    "MaskedLM": ("bert", lambda: MaskedLM("s")),
    "CausalLM": ("gpt2", lambda: CausalLM("s")),
    "SpanCorruption": ("t5", lambda: SpanCorruption("s")),
    "Generation": ("t5", lambda: Generation("s")),
    **TAUGHT,
}


def test_these_are_all() -> None:
    saying = set()
    for module in pkgutil.iter_modules(research.objectives.__path__, "research.objectives."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, Objective) and vars(thing).get("separable"):
                saying.add(thing.__name__)
    assert saying == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_rows(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, classify: Any, teacher_of: Any
) -> None:
    kind, make = CASES[name]
    student, objective = tiny(kind), make()
    teacher = teacher_of(tiny(kind, seed=7)) if name in TAUGHT else None
    if name == "Classification":
        classify(objective, student, 3)
    targets = texts[::-1] if name == "Generation" else None
    batch = batch_of(student, texts, objective.views(), LABELS, targets=targets)
    rows = list(rows_of(batch))
    assert len({next(iter(row.views.values())).ids.shape[1] for row in rows}) > 1, "no row is shorter than another"
    losses = torch.stack([objective(step_of(objective, student, row, teacher)) for row in rows])
    terms = torch.tensor([float(objective.terms(row)) for row in rows], dtype=losses.dtype)
    together = objective(step_of(objective, student, batch, teacher))
    torch.testing.assert_close(together, (losses * terms).sum() / terms.sum(), rtol=1e-6, atol=1e-9)
