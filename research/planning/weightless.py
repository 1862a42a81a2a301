"""Models and steps without memory: parameters, gradients and states have shapes and types, and no values."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from research.models import attention, dropout, feed_forward, heads, mixout, student
from research.models.starts import Start
from research.models.teachers import LiveTeacher

MASKING = (dropout, attention, mixout)
_load_model, attention_of_torch = student.load_model, F.scaled_dot_product_attention


@contextmanager
def weightless(gpu: bool) -> Iterator[FakeTensorMode]:
    """What is built under the mode that this gives has no memory, and neither has what comes of it in a step.

    No weights are read, and what would need values is not worked out: dropout masks, the fits of probes and heads.
    Tensors are the CPU's, whose code does some things of its own; for a GPU they are done as there: states of autocast
    in float32, losses and feed-forward parts of all rows at once, masks of a byte an element, and dropout within the
    fused attention.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def drawn(shape: tuple[int, ...], probability: float) -> Tensor:
        elements = math.prod(shape[1:])
        with mode:
            return torch.empty(shape[0], elements if gpu else -(-elements // 8), dtype=torch.uint8)

    def factor(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
        return bits.new_empty(shape)

    def fit_probe(teacher: LiveTeacher, task: str, batches: Any, labels: Sequence[str]) -> None:
        teacher.student.add_head(task, len(labels))

    def attend(*args: Any, dropout_p: float = 0.0, **kwargs: Any) -> Tensor:
        return attention_of_torch(*args, **kwargs)

    as_on_gpu: list[tuple[Any, str, Any]] = [
        (student, "use_narrow_states", lambda *_: None),
        (heads, "by_rows", lambda loss, logits, other: loss(logits, other)),
        (F, "scaled_dot_product_attention", attend),
        (attention, "draw", lambda shape, probability: drawn((shape[0], 0), probability)),
        (feed_forward, "ROWS", 2**62),
    ]
    with ExitStack() as held:
        for module, name, other in (
            (student, "load_model", lambda config, backbone, revision, family: _load_model(config, None, None, family)),
            *((module, name, other) for module in MASKING for name, other in (("draw", drawn), ("factor", factor))),
            (LiveTeacher, "fit_probe", fit_probe),
            (Start, "__call__", lambda *_: None),
            (nn.Module, "_apply", lambda module, *_: module),  # there is nothing to move to a device
            *(as_on_gpu if gpu else []),
        ):
            held.enter_context(patch.object(module, name, other))
        yield mode
