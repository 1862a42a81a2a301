"""How likely a language model finds the words that two sentences share, given those in which they differ."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
import torch

from research.data.batch import IGNORE, Example, Row, pad_rows
from research.data.records import TOKENS
from research.data.tokenised import encode
from research.errors import UserError

if TYPE_CHECKING:
    from research.models.student import Student


def shared_places(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """The places in either of two token lists of the tokens that they share in the same order."""
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    mine = [i for block in blocks for i in range(block.a, block.a + block.size)]
    return mine, [i for block in blocks for i in range(block.b, block.b + block.size)]


def shared_likelihoods(student: "Student", pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """For each of N pairs of sentences the log-likelihoods (N, 2), in nats, of the tokens U that both have.

    Of an encoder ``sum over u in U of log p(u | all other tokens)``, with one token behind the mask at a time: the
    pseudo-log-likelihood of Nangia et al. (2020, arXiv:2010.00133). Of a decoder, which reads from left to right,
    ``sum over u in U of log p(u | tokens before u)``: shared tokens before the first difference count alike on both
    sides, and what comes after a word cannot tell of it. The student has to be built and in evaluation mode.

    Raises:
        UserError: for an encoder-decoder, or an encoder without a mask token.
    """
    family = student.family.name
    if family == "encoder-decoder" or (family == "encoder" and student.vocabulary.mask < 0):
        raise UserError("CrowS-Pairs: the student needs a language model of single tokens: an encoder with a mask "
                        "token, or a decoder")  # fmt: skip
    ids = encode(student.tokenizer, [sentence for pair in pairs for sentence in pair])
    longest = max(map(len, ids), default=0) + student.family.overhead(pair=False)
    if student.max_length is not None and longest > student.max_length:
        raise UserError(f"CrowS-Pairs: a sentence has {longest} tokens; the student takes {student.max_length}")
    asked: list[tuple[int, Row]] = []
    for number, places in enumerate(_places(ids)):
        asked += [(number, row) for row in _rows(student, np.array(ids[number], np.int64), places)]
    return _summed(student, asked, len(ids)).reshape(-1, 2)


def _places(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    for first, second in zip(ids[::2], ids[1::2], strict=True):
        yield from shared_places(first, second)


def _rows(student: "Student", ids: np.ndarray, places: Sequence[int]) -> Iterator[Row]:
    """A sentence with labels where something is to be predicted: of an encoder once for each place."""
    row = student.family.frame(Example(ids), student.vocabulary)
    if student.family.name == "decoder":
        labels = np.full(len(row.ids), IGNORE)
        told = [place for place in places if place > 0]  # nothing stands before the first token
        labels[np.array(told, np.int64) - 1] = ids[told]
        yield Row(row.ids, labels=labels)
        return
    for place in places:
        masked, labels = row.ids.copy(), np.full(len(row.ids), IGNORE)
        masked[place + 1] = student.vocabulary.mask  # a token begins the text
        labels[place + 1] = ids[place]
        yield Row(masked, labels=labels)


@torch.no_grad()
def _summed(student: "Student", asked: Sequence[tuple[int, Row]], count: int) -> np.ndarray:
    """The log-likelihoods (count,) of all labels of the rows of each number."""
    found, device = np.zeros(count), next(student.parameters()).device
    order = sorted(asked, key=lambda one: -len(one[1].ids))
    while order:
        few = order[: max(TOKENS // len(order[0][1].ids), 1)]
        order = order[len(few) :]
        tokens = pad_rows([row for _, row in few], student.vocabulary.pad, student.has_types).to(device)
        hidden, labels = student(tokens).at_labels()
        losses = student.vocabulary_head(hidden).cross_entropy(labels, "none").double().cpu().numpy()
        assert tokens.labels is not None
        rows = (tokens.labels != IGNORE).nonzero()[:, 0].cpu().numpy()
        np.subtract.at(found, np.array([number for number, _ in few])[rows], losses)
    return found
