"""Models and steps without memory: parameters, gradients and states have shapes and types, and no values."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from research.models import attention, dropout, heads, student
from research.models.starts import Start
from research.models.teachers import LiveTeacher

_load_model, attention_of_torch = student.load_model, F.scaled_dot_product_attention


@contextmanager
def weightless(gpu: bool) -> Iterator[FakeTensorMode]:
    """What is built under the mode that this gives has no memory, and neither has what comes of it in a step.

    No weights are read, and what would need values is not worked out: dropout masks, the fits of probes and heads.
    Tensors are the CPU's, whose code does some things of its own; for a GPU they are done as there: states of autocast
    in float32, losses of all rows at once, and dropout within the fused attention.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def drawn(shape: tuple[int, ...], *_: Any) -> Tensor:
        with mode:
            return torch.empty(shape, dtype=torch.bool)

    def fit_probe(teacher: LiveTeacher, task: str, batches: Any, labels: Sequence[str]) -> None:
        teacher.student.add_head(task, len(labels))

    def attend(*args: Any, dropout_p: float = 0.0, **kwargs: Any) -> Tensor:
        return attention_of_torch(*args, **kwargs)

    as_on_gpu: list[tuple[Any, str, Any]] = [
        (student, "use_narrow_states", lambda *_: None),
        (heads, "by_rows", lambda loss, logits, other: loss(logits, other)),
        (F, "scaled_dot_product_attention", attend),
    ]
    with ExitStack() as held:
        for module, name, other in (
            *(as_on_gpu if gpu else []),
            (student, "load_model", lambda config, backbone, revision, family: _load_model(config, None, None, family)),
            (dropout, "draw", drawn),
            (attention, "draw", drawn),
            (LiveTeacher, "fit_probe", fit_probe),
            (Start, "__call__", lambda *_: None),
            (nn.Module, "_apply", lambda module, *_: module),  # there is nothing to move to a device
        ):
            held.enter_context(patch.object(module, name, other))
        yield mode
