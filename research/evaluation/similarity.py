"""How well embeddings tell similar sentences from others."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import Example, pad_rows
from research.data.sources import Source
from research.data.tokenised import encode
from research.errors import UserError
from research.models.student import Student
from research.step import Clean


@torch.no_grad()
def embed(student: Student, texts: Sequence[str], batch_size: int = 64, max_length: int | None = None) -> Tensor:
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


def similarity_correlation(student: Student, pairs: Source) -> float:
    """Spearman's correlation, in [-1, 1], of the cosine of two embeddings with a pair's label, as STS-B is scored
    (Cer et al. 2017, arXiv:1708.00055).

    Raises:
        UserError: for a record that is no pair with a number.
    """
    from torchmetrics.functional import spearman_corrcoef

    first, second, scores = [], [], []
    for record in pairs:
        try:
            scores.append(float(record["label"]))  # type: ignore[arg-type]  # a list is refused below
            second.append(record["text_pair"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{record.get('where')}: not a pair of texts with a number as its label") from None
        first.append(record["text"])
    embeddings = embed(student, first + second)
    one, other = embeddings.chunk(2)
    cosines = F.cosine_similarity(one, other)
    return float(spearman_corrcoef(cosines, torch.tensor(scores)))
