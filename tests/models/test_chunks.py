"""A batch encoded part by part: the gradient of one forward pass, without its memory."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models import Student
from research.models.chunks import split
from research.objectives import Contrastive
from research.objectives.contrastive import info_nce
from research.step import Clean, Step

VIEWS = [Clean(), Clean(dropout_pass=1)]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_gradient_of_one_big_batch(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name)
    batch = batch_of(student, texts, VIEWS)
    whole = gradient(student, loss_of(student, batch))
    student.chunk = 3
    for mine, expected in zip(gradient(student, loss_of(student, batch)), whole, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_dropout_is_replayed(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """As if all parts' activations had been kept: the same masks in the second forward pass."""
    student = tiny(name, dropout=0.3)
    student.train()
    batch = batch_of(student, texts, VIEWS)
    tall = stacked([batch.views[view] for view in VIEWS])
    torch.manual_seed(3)
    embeddings = torch.cat([student.embedding(student(tokens)) for tokens in split(tall, 3)])
    expected_loss = info_nce(*embeddings.split(len(texts)), 0.5)
    after = torch.rand(1)
    expected = gradient(student, expected_loss)
    student.chunk = 3
    torch.manual_seed(3)
    loss = loss_of(student, batch)
    assert torch.equal(torch.rand(1), after)
    torch.testing.assert_close(loss, expected_loss, rtol=0, atol=1e-10)
    for mine, reference in zip(gradient(student, loss), expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first_last"])
def test_memory_and_forward_passes(
    pooling: str, tiny: Any, texts: list[str], batch_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the graph keeps is hidden states alone, and each part is encoded twice."""
    student = tiny("bert", pooling=pooling)
    batch = batch_of(student, texts, VIEWS)
    rows: list[int] = []
    student.model.base_model.register_forward_pre_hook(
        lambda module, given, named: rows.append(len(named["input_ids"])), with_kwargs=True
    )

    def kept() -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = loss_of(student, batch)
        loss.backward()
        return sum(sizes.values())

    with monkeypatch.context() as patch:
        patch.setattr("research.models.student.kept_for_backward", nullcontext)  # whose hooks would hide ours
        without = kept()
    student.chunk = 5
    rows.clear()
    assert kept() < without / 5
    assert sorted(rows) == [1, 1, 5, 5, 5, 5, 5, 5]
    rows.clear()
    with torch.no_grad():
        loss_of(student, batch)
    assert rows == [5, 5, 5, 1]


def test_chunks_need_a_row() -> None:
    with pytest.raises(UserError, match="chunk is 0; it must be at least 1"):
        Student("somewhere", chunk=0)


def loss_of(student: Student, batch: Batch) -> Tensor:
    objective = Contrastive("s", temperature=0.5)
    return objective(Step({"s": batch}, student, None, {"s": objective.views()}))


def gradient(student: Student, loss: Tensor) -> list[Tensor]:
    used = torch.autograd.grad(loss, list(student.parameters()), allow_unused=True)
    return [part for part in used if part is not None]


def stacked(views: list[Tokens]) -> Tokens:
    types = [tokens.types for tokens in views if tokens.types is not None]
    ids, mask = (torch.cat([getattr(tokens, name) for tokens in views]) for name in ("ids", "mask"))
    return Tokens(ids, mask, types=torch.cat(types) if types else None)
