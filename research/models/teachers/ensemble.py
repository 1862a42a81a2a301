"""Several teachers with weights (You et al. 2017, "Learning from Multiple Teacher Networks")."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import Batch, Tokens
from research.errors import UserError
from research.models.heads import RowLoss, VocabularyHead
from research.models.teachers.teacher import Answer, Teacher
from research.step import Encoded, View

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.data.stream import StreamInfo
    from research.models.student import Student


def mixed_logits(logits: Tensor, weights: Tensor) -> Tensor:
    """``log sum_i w_i softmax(z_i)``: (E, N, C) logits of E teachers and (E,) weights that add up to 1, to (N, C)."""
    return (logits.log_softmax(-1) + weights.log()[:, None, None]).logsumexp(0)


class EnsembleAnswer(Answer):
    """The answers of all members, mixed when they are asked for."""

    def __init__(self, answers: Mapping[str, Answer], weights: Mapping[str, float]) -> None:
        self.answers, self.weights = answers, weights

    def class_logits(self, task: str) -> Tensor:
        logits = torch.stack([answer.class_logits(task).float() for answer in self.answers.values()])
        return mixed_logits(logits, logits.new_tensor([self.weights[name] for name in self.answers]))

    def divergence(self, head: VocabularyHead, loss: RowLoss, temperature: float) -> Tensor:
        parts = [self.weights[name] * a.divergence(head, loss, temperature) for name, a in self.answers.items()]
        return torch.stack(parts).sum()

    @property
    def encoded(self) -> Encoded:
        raise UserError("model.teacher: several teachers have no hidden states in common; take one of them")


class TeacherEnsemble(Teacher):
    """Several teachers, live or cached, with weights.

    Their class probabilities are averaged. Over tokens the divergences are, ``sum_i w_i D(p_i, p_s)``: where D is the
    forward KL, that has the gradient of the divergence from the averaged distribution.

    Args:
        members: the teachers by name.
        weights: above 0, by the same names, in any proportion; the default is equal ones.
    """

    def __init__(self, members: dict[str, Teacher], weights: dict[str, float] | None = None) -> None:
        if not members:
            raise UserError("model.teacher: members: give at least one teacher")
        weights = weights or dict.fromkeys(members, 1.0)
        if weights.keys() != members.keys():
            raise UserError(f"model.teacher: weights name {sorted(weights)}, members are {sorted(members)}")
        for name, weight in weights.items():
            if not weight > 0:
                raise UserError(f"model.teacher: weights.{name} is {weight}; it must be above 0")
        self.members = members
        self.weights = {name: weight / sum(weights.values()) for name, weight in weights.items()}

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return next(iter(self.members.values())).tokenizer

    def check(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        for member in self.members.values():
            member.check(student, streams)

    def build(self, device: torch.device) -> None:
        for member in self.members.values():
            member.build(device)

    def answer(self, stream: str, view: View, tokens: Tokens) -> EnsembleAnswer:
        answers = {name: member.answer(stream, view, tokens) for name, member in self.members.items()}
        return EnsembleAnswer(answers, self.weights)

    def fit_probe(self, task: str, batches: Iterable[Batch], labels: Sequence[str]) -> None:
        seen = list(batches)
        for member in self.members.values():
            member.fit_probe(task, seen, labels)

    def follow(self, student: "Student") -> None:
        for member in self.members.values():
            member.follow(student)

    def state_dict(self) -> dict[str, Any]:
        return {name: member.state_dict() for name, member in self.members.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, member in self.members.items():
            member.load_state_dict(state[name])
