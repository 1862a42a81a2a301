"""Texts as a student embeds them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from research.data.batch import Example, pad_rows
from research.data.tokenised import encode
from research.step import Clean

if TYPE_CHECKING:
    from research.models.student import Student


@torch.no_grad()
def embed(student: "Student", texts: Sequence[str], batch_size: int = 64, max_length: int | None = None) -> Tensor:
    """Embeddings (N, H) float32 of texts, in their order, on the CPU; they are encoded in batches of equal lengths.

    Longer texts are cut to ``max_length`` tokens, special ones included; by default to what the student takes.
    """
    longest = max_length or student.max_length
    room = longest and longest - student.family.overhead(pair=False)
    ids = [np.array(one[:room], dtype=np.int64) for one in encode(student.tokenizer, texts)]
    order = np.argsort([len(one) for one in ids], kind="stable")
    device, rng = next(student.parameters()).device, np.random.default_rng(0)
    out = torch.empty(len(texts), student.width)
    for start in range(0, len(order), batch_size):
        few = order[start : start + batch_size]
        rows = [Clean().build(Example(ids[i]), student.family, student.vocabulary, rng) for i in few]
        tokens = pad_rows(rows, student.vocabulary.pad, student.has_types).to(device)
        out[torch.from_numpy(few)] = student.embedding(student(tokens)).float().cpu()
    return out
