"""A teacher that is the student's own average over the steps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from research.data.batch import Tokens
from research.errors import UserError
from research.models.student import Student
from research.models.teachers.live import LiveAnswer
from research.models.teachers.teacher import Teacher
from research.sharding import Whole
from research.step import View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo


class EMATeacher(Teacher, Whole):
    """The mean teacher (Tarvainen & Valpola 2017, arXiv:1703.01780): the student itself, slower and without dropout.

    After each step its weights, heads included, are ``decay * weights + (1 - decay) * student's``. They begin as the
    student's first ones and are part of the checkpoint.

    Args:
        decay: in [0, 1); about ``1 / (1 - decay)`` steps are averaged.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"model.teacher: decay is {decay}; it must lie in [0, 1)")
        self.decay = decay
        self.average: AveragedModel | None = None

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self._tokenizer

    def check(self, student: Student, streams: "Mapping[str, StreamInfo]") -> None:
        self._tokenizer = student.tokenizer

    def build(self, device: torch.device) -> None:
        """Nothing: the student's first weights come with :meth:`follow`."""

    @torch.no_grad()
    def answer(self, stream: str, view: View, tokens: Tokens) -> LiveAnswer:
        model = self._built().module
        assert isinstance(model, Student)
        return LiveAnswer(model, model(tokens))

    def follow(self, student: Student) -> None:
        if self.average is None:
            self.average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
            self.average.eval().requires_grad_(False)
        self.average.update_parameters(student)

    def state_dict(self) -> dict[str, Any]:
        return self._built().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._built().load_state_dict(state)

    def _built(self) -> AveragedModel:
        assert self.average is not None, "follow() comes before the first answer"
        return self.average
