"""What a trained student says of the films that may come next, and of how they will be rated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from research.applications.recommendation.objectives import Following
from research.applications.recommendation.student import SPECIAL, FilmStudent
from research.data.batch import Example, Row, pad_rows
from research.step import Clean, Encoded

ROWS = 256  # histories encoded at once


@torch.no_grad()
def interests(student: FilmStudent, past: Sequence[np.ndarray], history: int) -> Tensor:
    """(U, H): what the student looks for after the last ``history`` films of each past (n,)."""
    nothing = np.zeros(1, np.int64)
    examples = [Example(films[-history:] + len(SPECIAL), nothing) for films in past]
    rows = [Following().build(e, student.family, student.vocabulary, np.random.default_rng(0)) for e in examples]
    return torch.cat([student.vocabulary_head(encoded.at_labels()[0]).features for encoded in _encoded(student, rows)])


@torch.no_grad()
def film_vectors(student: FilmStudent) -> Tensor:
    """(F, H): their product with an interest is the score of a film."""
    return student.vocabulary_head(torch.zeros(1, student.width)).weight[len(SPECIAL) :]


@torch.no_grad()
def ratings(
    student: FilmStudent, stream: str, past: Sequence[np.ndarray], target: np.ndarray, history: int
) -> np.ndarray:
    """(U,): the head's rating of each target after its past, in the units of the stream's standardised labels."""
    rows = [
        Clean().build(
            Example(films[-history:] + len(SPECIAL), np.array([film + len(SPECIAL)])),
            student.family,
            student.vocabulary,
            np.random.default_rng(0),
        )
        for films, film in zip(past, target, strict=True)
    ]
    return torch.cat([student.class_logits(encoded, stream)[:, 0] for encoded in _encoded(student, rows)]).numpy()


def _encoded(student: FilmStudent, rows: Sequence[Row]) -> "list[Encoded]":
    student.eval()
    parts = (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
    return [student(pad_rows(part, student.vocabulary.pad, student.has_types)) for part in parts]
