"""Students as checkpoints give them, without a run behind them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from research.data.stream import StreamInfo
from research.inference import Model
from research.inference.export.given import Given
from research.models import Student

LABELS = ("card", "cash", "rate")


@pytest.fixture(scope="session")
def given(tiny: Callable[..., Student]) -> Callable[..., Given]:
    """``given("roberta", "classify", pooling="first")``: a tiny float32 student with a head for a task of that problem;
    without a problem, no task is chosen."""

    def given(kind: str, problem: str | None = None, pooling: str | None = None, **more: Any) -> Given:
        like = {"gpt2": "gpt2", "t5": "t5"}.get(kind, "bert")
        student = tiny(like, pooling=pooling, architecture={"model_type": kind, **more.pop("architecture", {})}, **more)
        student.float()
        info = StreamInfo(
            problem or "classify", () if problem == "regress" else LABELS, scale=(30.0, 4.0), max_length=40
        )
        torch.manual_seed(1)
        student.add_head("task", max(len(info.labels), 1))
        with torch.no_grad():
            student.heads["task"].linear.weight.normal_()
            student.heads["task"].linear.bias.normal_()
        student.eval().requires_grad_(False)
        return Given(Model(student, {"task": info}), None if problem is None else "task")

    return given
