"""Which attention heads a student can do without."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from research.inference.decisions.scored import data_of
from research.models.compression.maps import layers_of
from research.models.compression.pruned_heads import attention_of

if TYPE_CHECKING:
    from research.data.batch import Batch
    from research.inference.model import Model

BATCHES = 64  # of the task's training texts


def least_important(model: "Model", checkpoint: Path, task: str | None, share: float) -> dict[int, list[int]]:
    """By layer the heads that go, this share of all, in (0, 1); each layer keeps its best one."""
    name = model.task(task, "classify", "multilabel", "regress")
    stream = data_of(checkpoint, model, name).stream("train")
    batches = (batch for i in range(min(BATCHES, len(stream))) if (batch := stream[i]) is not None)
    scores = importance(model, name, batches)
    scores[torch.arange(len(scores)), scores.argmax(1)] = torch.inf
    heads: dict[int, list[int]] = {}
    for place in scores.flatten().argsort()[: round(share * scores.numel())].tolist():
        layer, head = divmod(place, scores.shape[1])
        if scores[layer, head] < torch.inf:
            heads.setdefault(layer, []).append(head)
    return {layer: sorted(heads[layer]) for layer in sorted(heads)}


def importance(model: "Model", task: str, batches: "Iterator[Batch]") -> Tensor:
    """``E |c_h . dL/dc_h|`` of the output c_h of each head, (layers, heads): how much the loss would change without it.

    The mean is over tokens, and each layer has length one (Michel et al. 2019, equation 2; Molchanov et al. 2017).
    """
    student = model.student
    config: Any = student.config
    attentions = [attention_of(layer, config) for layer in layers_of(student.model, student.family)]
    outputs: dict[int, Tensor] = {}

    def note(number: int, given: Tensor) -> None:
        given.requires_grad_()
        given.retain_grad()
        outputs[number] = given

    totals = torch.zeros(len(attentions), config.num_attention_heads)
    with ExitStack() as stack, torch.enable_grad():
        for number, attention in enumerate(attentions):
            hook = attention.output.dense.register_forward_pre_hook(lambda _, given, n=number: note(n, given[0]))
            stack.callback(hook.remove)
        for batch in batches:
            loss(model, task, batch).backward()
            for number, attention in enumerate(attentions):
                of = outputs[number]
                assert of.grad is not None
                each = (of * of.grad).unflatten(-1, (-1, attention.self.attention_head_size)).sum(-1)
                totals[number] += each.abs().sum((0, 1)).detach()
    return F.normalize(totals, dim=1)


def loss(model: "Model", task: str, batch: "Batch") -> Tensor:
    """The task's loss of a batch."""
    stream = model.tasks[task]
    assert batch.labels is not None
    logits = model.scored(task, batch)[:, : max(len(stream.labels), 1)]
    if stream.problem == "classify":
        return F.cross_entropy(logits, batch.labels, reduction="sum")
    if stream.problem == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="sum")
    return F.mse_loss(logits[:, 0], batch.labels, reduction="sum")
