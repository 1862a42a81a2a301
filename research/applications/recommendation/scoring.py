"""What a trained student says of the films that may come next."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from research.applications.recommendation.student import SPECIAL, FilmStudent
from research.data.batch import pad_rows

ROWS = 256  # histories encoded at once


@torch.no_grad()
def interests(student: FilmStudent, past: Sequence[np.ndarray], history: int) -> Tensor:
    """(U, H): what the student looks for at a gap after the last ``history`` films of each past (n,)."""
    nothing = np.zeros(0, np.int64)
    rows = [student.family.cloze(films[-history:] + len(SPECIAL), nothing, student.vocabulary) for films in past]
    parts = (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
    encoded = (student(pad_rows(part, student.vocabulary.pad, student.has_types)) for part in parts)
    return torch.cat([student.vocabulary_head(each.at_labels()[0]).features for each in encoded])


@torch.no_grad()
def film_vectors(student: FilmStudent) -> Tensor:
    """(F, H): their product with an interest is the score of a film."""
    return student.vocabulary_head(torch.zeros(1, student.width)).weight[len(SPECIAL) :]
