"""Which tokens lie next to each other in the student's input embedding."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 1024  # tokens compared at once with all others


def neighbours(embeddings: Tensor, among: Tensor, k: int) -> np.ndarray:
    """The k tokens of highest cosine similarity to each token, the nearest first, itself left out.

    Args:
        embeddings: (V, H), one row a token.
        among: (m,) int64, the tokens that have neighbours and are neighbours; m must exceed k.
        k: at least 1.

    Returns:
        (V, k) int32, -1 in the rows of all other tokens.
    """
    table = np.full((len(embeddings), k), -1, dtype=np.int32)
    unit = F.normalize(embeddings[among].float(), dim=-1)
    for start in range(0, len(among), ROWS):
        similarity = unit[start : start + ROWS] @ unit.T
        similarity.diagonal(start).fill_(-torch.inf)
        nearest = among[similarity.topk(k).indices]
        table[among[start : start + ROWS].cpu().numpy()] = nearest.cpu().numpy()
    return table
