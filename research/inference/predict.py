"""What a student says of the examples of one batch, as plain values."""

from typing import Any

import torch
from torch import Tensor

from research.data.batch import Batch
from research.data.stream import StreamInfo
from research.inference.writing import write_texts
from research.models.student import Student
from research.step import Clean


@torch.no_grad()
def predict(
    student: Student, stream: str, info: StreamInfo, batch: Batch, logits: Tensor | None = None
) -> list[dict[str, Any]]:
    """One dict for each of the N examples.

    ``classify`` gives ``label`` and ``probabilities`` by label; ``multilabel`` the labels above 1/2 and the
    probabilities; ``regress`` a ``value`` in the unit of the training labels; ``generate`` the ``text`` that the
    student writes; unlabelled streams give the ``embedding``, a list of H floats, like a task that no head knows and
    ``generate`` of an encoder. ``logits`` (N, C) are of the classes of ``classify`` where it is not the student's head
    that tells them.
    """
    if logits is not None:
        return [_named(p, info.labels) for p in logits.float().softmax(-1)]
    if info.problem == "generate" and student.family.name != "encoder":
        texts = write_texts(student, batch.views[Clean()], info.max_target_length)
        return [{"text": text} for text in texts]
    encoded = student(batch.views[Clean()])
    if stream not in student.heads:
        return [{"embedding": row} for row in student.embedding(encoded).float().tolist()]
    logits = student.class_logits(encoded, stream).float()
    if info.problem == "classify":
        return [_named(p, info.labels) for p in logits.softmax(-1)]
    if info.problem == "multilabel":
        return [
            {"labels": [n for n, x in zip(info.labels, p, strict=True) if x > 0.5], "probabilities": _by_name(p, info)}
            for p in logits.sigmoid()
        ]
    mean, deviation = info.scale
    return [{"value": v * deviation + mean} for v in logits[:, 0].tolist()]


def _named(probabilities: Tensor, labels: tuple[str, ...]) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {"label": labels[best], "probabilities": dict(zip(labels, probabilities.tolist(), strict=True))}


def _by_name(probabilities: Tensor, info: StreamInfo) -> dict[str, float]:
    return dict(zip(info.labels, probabilities.tolist(), strict=True))
