"""An objective over one stream, set up as HybridModule sets it up, and what it gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from research.data.batch import Batch
from research.data.stream import StreamInfo
from research.models import LiveTeacher, Student, Teacher
from research.objectives import Objective
from research.step import Step


@pytest.fixture
def step_of() -> Callable[..., Step]:
    """``step_of(objective, student, batch, teacher)``: the step in which this objective alone runs."""

    def step_of(objective: Objective, student: Student, batch: Batch, teacher: Teacher | None = None) -> Step:
        views, reads = {objective.stream: objective.views()}, {objective.stream: objective.reads}
        return Step({objective.stream: batch}, student, teacher, views, reads)

    return step_of


@pytest.fixture
def classify() -> Callable[[Objective, Student, int], Any]:
    """Give an objective and its student a head over classes "a", "b", ...; returns the head's linear map."""

    def classify(objective: Any, student: Student, classes: int, problem: str = "classify") -> Any:
        info = StreamInfo(problem, tuple("abcdefgh"[:classes]))
        objective.check("name", student.family, {"s": info}, None)
        objective.build(student, {"s": info})
        objective.double()
        torch.manual_seed(1)
        linear = student.double().eval().heads["s"].linear
        torch.nn.init.normal_(linear.weight)
        torch.nn.init.normal_(linear.bias)
        return linear

    return classify


@pytest.fixture
def learns() -> Callable[..., None]:
    """Introduce an objective over a stream without labels to its student and teacher."""

    def learns(objective: Objective, student: Student, teacher: Teacher) -> None:
        streams = {"s": StreamInfo("unlabelled")}
        objective.check("name", student.family, streams, teacher)
        torch.manual_seed(2)
        objective.build(student, streams)
        objective.double()

    return learns


@pytest.fixture
def teacher_of(tmp_path: Path) -> Callable[[Student], LiveTeacher]:
    """A live teacher in float64, loaded from the folder that transformers writes of a student."""

    def teacher_of(student: Student) -> LiveTeacher:
        student.model.save_pretrained(tmp_path)
        student.tokenizer.save_pretrained(tmp_path)
        teacher = LiveTeacher(str(tmp_path))
        teacher.build(torch.device("cpu"))
        teacher.student.double()
        return teacher

    return teacher_of
