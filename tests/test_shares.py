"""Batches whose gradients are added up give the loss and the gradient of one batch with all their rows."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from research.data.batch import Batch, Tokens
from research.data.masking import Masked
from research.data.stream import StreamInfo
from research.module import HybridModule, shared
from research.objectives import Classification, MaskedLM
from research.step import Clean, Step

ROWS = [slice(0, 1), slice(1, 4), slice(4, 8)]
LABELS = [0, 1, 1, 0, 1, 0, 0, 2]


def rows_of(batch: Batch, rows: slice) -> Batch:
    views = {v: Tokens(t.ids[rows], t.mask[rows], None if t.labels is None else t.labels[rows],
                       None if t.types is None else t.types[rows]) for v, t in batch.views.items()}  # fmt: skip
    return Batch(views, batch.labels[rows])  # type: ignore[index]


def test_unequal_batches_are_weighed_by_their_terms(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("bert")
    objectives: dict[str, Any] = {
        "tokens": MaskedLM("s"),
        "rows": Classification("s"),
        "classes": Classification("s", class_weights={"a": 5.0, "c": 0.25}),
    }
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
    module = HybridModule(student, objectives).double().eval()
    whole = batch_of(student, texts, [Masked(), Clean()], LABELS)
    parts = [rows_of(whole, rows) for rows in ROWS]
    module._trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]
    module.share([{"s": part} for part in parts])

    weight = student.model.bert.embeddings.position_embeddings.weight
    for name, objective in objectives.items():

        def loss(batch: Batch, name: str = name, objective: Any = objective) -> torch.Tensor:
            return shared(objective(Step({"s": batch}, student, None, {"s": [Masked(), Clean()]})), name, batch)

        expected = loss(whole)
        found = sum(loss(part) for part in parts) / len(parts)
        plain = sum(loss(Batch(part.views, part.labels)) for part in parts) / len(parts)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        gradients = [torch.autograd.grad(each, weight)[0] for each in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6 * float(gradients[1].abs().max()))
        assert float(plain) != pytest.approx(float(expected), rel=1e-3), "the mean of means is another"
        assert sum(float(part.shares[name]) for part in parts) == pytest.approx(len(parts))


def test_one_batch_alone_has_no_share(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("bert")
    module = HybridModule(student, {"tokens": MaskedLM("s")})
    batch = batch_of(student, texts, [Masked()])
    module._trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]
    module.share([{"s": batch}])
    assert not batch.shares
