"""Texts leave the encoder at the first layer whose classifier is sure (DeeBERT: Xin et al. 2020, arXiv:2004.12993)."""

from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor

from research.data.batch import Tokens
from research.models.student import Student
from research.objectives.early_exits import exit_name
from research.step import Encoded


class Sure(Exception):
    """All texts of a batch have left."""


def exits(student: Student, stream: str) -> int:
    """How many layers have a head of the stream below the last one's."""
    return sum(name.rpartition("@")[0] == stream for name in student.heads)


def early_logits(student: Student, tokens: Tokens, stream: str, below: float) -> tuple[Tensor, Tensor]:
    """Logits (N, C) of each text's first layer whose entropy is below a bound in nats, else the last one's; and that
    layer (N,), counted from 1. Layers run until all texts of the batch have left.
    """
    model: Any = student.model
    ((owner, attribute),) = student.family.stacks(model)
    layers = getattr(owner, attribute)
    out: Tensor | None = None
    left = torch.zeros(0, dtype=torch.long, device=tokens.ids.device)

    def leave(number: int, logits: Tensor) -> None:
        nonlocal out, left
        if out is None:  # packed rows hold several texts, whose number is that of the logits
            out, left = logits.clone(), left.new_zeros(len(logits))
        log = logits.float().log_softmax(-1)
        sure = (-(log.exp() * log).sum(-1) < below) if number < len(layers) else torch.ones_like(left, dtype=torch.bool)
        now = sure & (left == 0)
        out[now], left[now] = logits[now], number

    def hook(number: int, states: Any) -> None:
        hidden = states[0] if isinstance(states, tuple) else states
        leave(number, student.class_logits(Encoded(hidden, hidden, tokens), exit_name(stream, number)))
        if bool((left > 0).all()):
            raise Sure

    with ExitStack() as undo:
        for number, layer in enumerate(layers[:-1], 1):
            handle = layer.register_forward_hook(lambda _, given, states, n=number: hook(n, states))
            undo.callback(handle.remove)
        with suppress(Sure):
            leave(len(layers), student.class_logits(student(tokens), stream))
    assert out is not None
    return out, left
