"""Records that lie in memory, as batches of like length for a student that does not train."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from research.data.batch import Batch, Example, pad_rows
from research.data.stream import StreamInfo
from research.data.tokenised import encode
from research.errors import UserError
from research.step import View

if TYPE_CHECKING:
    from research.models.student import Student

TOKENS = 8192  # of a batch, padding included


def batched(
    student: "Student",
    records: Sequence[dict[str, Any]],
    views: Sequence[View],
    info: StreamInfo,
    tokens: int = TOKENS,
) -> Iterator[tuple[np.ndarray, Batch]]:
    """The places (n,) in ``records`` of a few of like length, the longest first, and their batch.

    A record has a ``text`` and maybe a ``text_pair``; longer ones are cut as in training. What a view draws depends on
    a record's place alone. A batch has at most so many ``tokens``, those to be written included, or one row.
    """
    texts = [(record["text"], record.get("text_pair")) for record in records]
    firsts = encode(student.tokenizer, [text for text, _ in texts])
    seconds = iter(encode(student.tokenizer, [pair for _, pair in texts if pair is not None]))
    examples = [
        example(student, info, first, None if pair is None else next(seconds))
        for first, (_, pair) in zip(firsts, texts, strict=True)
    ]
    more = info.max_target_length if info.problem == "generate" else 0
    lengths = np.array([length(one) + student.family.overhead(one.second is not None) + more for one in examples])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        few = order[start : start + max(tokens // lengths[order[start]], 1)]
        start += len(few)
        yield few, Batch({view: shown(student, view, examples, few) for view in views})


def shown(student: "Student", view: View, examples: Sequence[Example], places: np.ndarray) -> Any:
    """The padded rows of a view of some examples."""
    rows = [view.build(examples[i], student.family, student.vocabulary, np.random.default_rng(i)) for i in places]
    return pad_rows(rows, student.vocabulary.pad, student.has_types)


def example(student: "Student", info: StreamInfo, first: Sequence[int], second: Sequence[int] | None) -> Example:
    """One record, tokenised, cut to what its stream lets the student read."""
    limit = room(student, info.max_length or student.max_length, info, second is not None)
    ids = np.array(first, np.int64), None if second is None else np.array(second, np.int64)
    return Example(*cut(*ids, limit), ends=limit is None or len(first) + len(second or ()) <= limit)


def length(one: Example) -> int:
    return len(one.first) + (0 if one.second is None else len(one.second))


def room(student: "Student", limit: int | None, info: StreamInfo, pair: bool) -> int | None:
    """Tokens of the longest text or pair of a stream, special ones not included, within a limit that includes them.

    Raises:
        UserError: if there is none.
    """
    if limit is None:
        return None
    left = limit - student.family.overhead(pair)
    if info.problem == "generate" and student.family.name == "decoder":
        left -= info.max_target_length  # source and target share one sequence
    if left < 1:
        raise UserError(f"max_length is {limit}: it leaves no room for the source text")
    return left


def cut(first: np.ndarray, second: np.ndarray | None, most: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """A text or pair, cut on the right to ``most`` tokens; of a pair the second keeps half of them or what is left."""
    if most is None or second is None:
        return first[:most], second
    keep = min(len(second), max(most // 2, most - len(first)))
    return first[: most - keep], second[:keep]
