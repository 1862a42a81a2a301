"""The mean teacher against the average written out; and exact resuming with one."""

from typing import Any

import pytest
import torch

from research.data.batch import IGNORE
from research.errors import UserError
from research.models import EMATeacher
from research.step import Clean


def test_average_and_answers(make: Any, read: Any) -> None:
    student, teacher = make("bert"), EMATeacher(decay=0.9)
    student.add_head("task", 3)
    teacher.check(student, {})
    teacher.follow(student)
    start = {name: p.clone() for name, p in student.named_parameters()}
    expected = dict(start)
    student.train()
    for _ in range(3):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        teacher.follow(student)
        expected = {name: 0.9 * expected[name] + 0.1 * p for name, p in student.named_parameters()}
    mine = dict(teacher.average.module.named_parameters())
    assert mine.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(mine[name], value, rtol=0, atol=1e-6)

    tokens = read(student)
    tokens.labels = torch.where(tokens.mask, tokens.ids, IGNORE)
    answer = teacher.answer("s", Clean(), tokens)
    student.load_state_dict(teacher.average.module.state_dict())
    student.eval()
    torch.testing.assert_close(answer.class_logits("task"), student.class_logits(student(tokens), "task"))
    assert not answer.class_logits("task").requires_grad and student.training is False


def test_goes_on_from_its_state(make: Any, read: Any) -> None:
    student, teacher = make("bert"), EMATeacher(decay=0.5)
    teacher.follow(student)
    with torch.no_grad():
        next(student.parameters()).add_(1.0)
    teacher.follow(student)
    again = EMATeacher(decay=0.5)
    again.follow(make("bert"))
    again.load_state_dict(teacher.state_dict())
    for one in (teacher, again):
        one.follow(student)
    for a, b in zip(teacher.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(UserError, match=r"decay is 1.0; it must lie in \[0, 1\)"):
        EMATeacher(decay=1.0)
