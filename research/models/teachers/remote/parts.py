"""The texts of a batch that a server is asked about, and the positions that predict their tokens."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from research.data.batch import IGNORE, Tokens
from research.models.alignment import spell
from research.models.teachers.aligned import documents_of
from research.models.teachers.remote.echo import Echo, echo_request, read_echo, read_written
from research.models.teachers.remote.server import Request
from research.models.teachers.remote.writing import Writing

if TYPE_CHECKING:
    from research.models.student import Student


class Part(NamedTuple):
    """A text in the student's tokens.

    ``ends`` (n,) says where they end, as :func:`research.models.alignment.align` reads it; ``positions`` (n,) which of
    those that carry a loss predicts each of them, or -1; ``read`` takes the server's tokens from its answer.
    """

    text: str
    ends: np.ndarray
    positions: np.ndarray
    request: Request
    read: Callable[[Mapping[str, Any], str], Echo]


def texts_of(tokens: Tokens, student: "Student", top: int) -> Iterator[Part]:
    """What next-token rows hold between begin and end tokens; their first tokens are predicted by none."""
    assert tokens.labels is not None
    carries = (tokens.labels != IGNORE).cpu().numpy()
    rank = np.where(carries, np.cumsum(carries).reshape(carries.shape) - 1, -1)
    for row, start, ids in documents_of(tokens):
        borders = np.flatnonzero((ids == student.vocabulary.end) | (ids == student.vocabulary.begin))
        for a, b in zip([0, *(borders + 1)], [*borders, len(ids)], strict=True):
            text, ends = spell(student.tokenizer, ids[a:b])
            if text:
                positions = np.append(-1, rank[row, start + a : start + b - 1])
                yield Part(text, ends, positions, echo_request(text, top), read_echo)


def targets_of(tokens: Tokens, student: "Student", writing: Writing) -> Iterator[Part]:
    """The targets of conditional rows, each an answer to its source."""
    assert tokens.labels is not None
    labels, ids, mask = (part.cpu().numpy() for part in (tokens.labels, tokens.ids, tokens.mask))
    done = 0
    for row in range(len(ids)):
        target = labels[row][labels[row] != IGNORE]
        read = ids[row][mask[row]]
        source = read if tokens.decoder_ids is not None else read[: len(read) - len(target) + 1]
        text, ends = spell(student.tokenizer, target[:-1])  # without the end token
        asked = writing.request(student.tokenizer.backend_tokenizer.decode(source.tolist()))
        yield Part(text, ends, np.arange(done, done + len(target) - 1), asked, read_written)
        done += len(target)
