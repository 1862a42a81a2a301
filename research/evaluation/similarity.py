"""How well embeddings tell similar sentences from others."""

import torch
import torch.nn.functional as F

from research.data.sources import Source
from research.errors import UserError
from research.models.embedding import embed
from research.models.student import Student


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
