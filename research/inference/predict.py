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

    A task with a head is answered as :func:`answers` says; ``generate`` gives the ``text`` that the student writes;
    unlabelled streams give the ``embedding``, a list of H floats, like a task that no head knows and ``generate`` of an
    encoder. ``logits`` (N, C) are of the classes of ``classify`` where it is not the student's head that tells them.
    """
    if logits is not None:
        return answers(info, logits)
    if info.problem == "generate" and student.family.name != "encoder":
        texts = write_texts(student, batch.views[Clean()], info.max_target_length)
        return [{"text": text} for text in texts]
    encoded = student(batch.views[Clean()])
    if stream not in student.heads:
        return [{"embedding": row} for row in student.embedding(encoded).float().tolist()]
    return answers(info, student.class_logits(encoded, stream))


def answers(info: StreamInfo, logits: Tensor) -> list[dict[str, Any]]:
    """One dict for each row of logits (N, C).

    ``classify`` gives ``label`` and ``probabilities`` by label; ``multilabel`` the labels above 1/2 and the
    probabilities; ``regress`` a ``value`` in the unit of the training labels.
    """
    logits = logits.float()
    if info.problem == "classify":
        return [{"label": info.labels[int(p.argmax())], "probabilities": _by_name(p, info)} for p in logits.softmax(-1)]
    if info.problem == "multilabel":
        return [
            {"labels": [n for n, x in zip(info.labels, p, strict=True) if x > 0.5], "probabilities": _by_name(p, info)}
            for p in logits.sigmoid()
        ]
    mean, deviation = info.scale
    return [{"value": v * deviation + mean} for v in logits[:, 0].tolist()]


def _by_name(probabilities: Tensor, info: StreamInfo) -> dict[str, float]:
    return dict(zip(info.labels, probabilities.tolist(), strict=True))
