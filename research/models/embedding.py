"""Any texts as a student reads and embeds them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from research.data.batch import Example, pad_rows
from research.data.tokenised import encode
from research.step import Clean, Encoded, View

if TYPE_CHECKING:
    from research.models.student import Student


def in_batches(
    student: "Student", texts: Sequence[str], view: View, batch_size: int = 64, max_length: int | None = None
) -> Iterator[tuple[np.ndarray, Encoded]]:
    """The places (n,) in ``texts`` of a few of like length, and what the student makes of a view of them.

    Longer texts are cut to ``max_length`` tokens, special ones included; by default to what the student takes. What a
    view draws depends on a text's place alone.
    """
    longest = max_length or student.max_length
    room = longest and longest - student.family.overhead(pair=False)
    ids = encode(student.tokenizer, texts)
    device = next(student.parameters()).device
    examples = [Example(np.array(one[:room], dtype=np.int64), ends=len(one) <= (room or len(one))) for one in ids]
    order = np.argsort([len(example.first) for example in examples], kind="stable")
    for start in range(0, len(order), batch_size):
        few = order[start : start + batch_size]
        rows = [view.build(examples[i], student.family, student.vocabulary, np.random.default_rng(i)) for i in few]
        yield few, student(pad_rows(rows, student.vocabulary.pad, student.has_types).to(device))


@torch.no_grad()
def embed(student: "Student", texts: Sequence[str], batch_size: int = 64, max_length: int | None = None) -> Tensor:
    """Embeddings (N, H) float32 of texts, in their order, on the CPU, as :func:`in_batches` reads them."""
    out = torch.empty(len(texts), student.width)
    for few, encoded in in_batches(student, texts, Clean(), batch_size, max_length):
        out[torch.from_numpy(few)] = student.embedding(encoded).float().cpu()
    return out
