"""What tests of compression share."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from research.data.batch import Batch
from research.models import Student
from research.models.compression import Compression
from research.step import Clean


@pytest.fixture
def made(tiny: Callable[..., Student]) -> Callable[..., Student]:
    """A student to which methods are applied after its weights were drawn."""

    def made(name: str, *methods: Compression, **given: Any) -> Student:
        student = tiny(name, **given)
        for method in methods:
            method.apply(student.model, student.family)
        return student

    return made


@pytest.fixture
def hidden(batch_of: Callable[..., Batch], texts: list[str]) -> Callable[..., Tensor]:
    """The last states of real tokens (M, H) of texts."""

    @torch.no_grad()
    def hidden(student: Student, some: Sequence[str] = ()) -> Tensor:
        tokens = batch_of(student, some or texts, [Clean()]).views[Clean()]
        return student(tokens).memory[tokens.mask]

    return hidden


@pytest.fixture
def vocabulary_logits() -> Callable[..., Tensor]:
    @torch.no_grad()
    def vocabulary_logits(student: Student, states: Tensor) -> Tensor:
        return student.vocabulary_head(states).logits

    return vocabulary_logits
