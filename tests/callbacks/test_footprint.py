"""Size and speed of students, larger and smaller."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from research.callbacks import Footprint
from research.data.sources import TextFiles
from research.errors import UserError
from research.models import Student


def measured(student: Student, slices: Path) -> dict[str, float]:
    logged: dict[str, float] = {}
    module: Any = SimpleNamespace(student=student, log_dict=lambda figures, logger: logged.update(figures))
    trainer: Any = None
    Footprint(TextFiles(str(slices / "wikitext.txt")), count=8).on_test_epoch_end(trainer, module)
    return logged


def test_fewer_layers_are_smaller_and_faster(tiny: Callable[..., Student], slices: Path) -> None:
    small = tiny("bert", architecture={"num_hidden_layers": 1})
    large = tiny("bert", architecture={"num_hidden_layers": 12})
    mine, theirs = measured(small, slices), measured(large, slices)
    assert mine["test/footprint/parameters"] == pytest.approx(sum(p.numel() for p in small.parameters()) / 1e6)
    assert mine["test/footprint/parameters"] < theirs["test/footprint/parameters"]
    assert mine["test/footprint/texts_per_second"] > 2 * theirs["test/footprint/texts_per_second"]


def test_the_student_and_its_threads_stay_as_they_are(tiny: Callable[..., Student], slices: Path) -> None:
    student, threads = tiny("bert"), torch.get_num_threads()
    student.to(torch.float32)
    before = [parameter.data_ptr() for parameter in student.parameters()]
    measured(student, slices)
    assert [parameter.data_ptr() for parameter in student.parameters()] == before
    assert torch.get_num_threads() == threads


def test_no_text_is_refused(slices: Path) -> None:
    with pytest.raises(UserError, match="count is 0; it must be at least 1"):
        Footprint(TextFiles(str(slices / "wikitext.txt")), count=0)
