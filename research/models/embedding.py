"""Any texts as a student reads and embeds them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from research.data.records import batched
from research.data.stream import StreamInfo
from research.step import Clean, Encoded, View

if TYPE_CHECKING:
    from research.models.student import Student


def in_batches(
    student: "Student",
    texts: Sequence[str],
    view: View,
    max_length: int | None = None,
    reads: frozenset[str] = frozenset(),
) -> Iterator[tuple[np.ndarray, Encoded]]:
    """The places (n,) in ``texts`` of a few of like length, and what the student makes of a view of them.

    Longer texts are cut to ``max_length`` tokens, special ones included; by default to what the student takes. What a
    view draws depends on a text's place alone. ``reads`` is as for :meth:`Student.forward`.
    """
    info = StreamInfo("unlabelled", max_length=max_length)
    device = next(student.parameters()).device
    for few, batch in batched(student, [{"text": text} for text in texts], [view], info):
        yield few, student(batch.to(device).views[view], reads)


@torch.no_grad()
def embed(student: "Student", texts: Sequence[str], max_length: int | None = None) -> Tensor:
    """Embeddings (N, H) float32 of texts, in their order, on the CPU, as :func:`in_batches` reads them."""
    out = torch.empty(len(texts), student.width)
    for few, encoded in in_batches(student, texts, Clean(), max_length):
        out[torch.from_numpy(few)] = student.embedding(encoded).float().cpu()
    return out
