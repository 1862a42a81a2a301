"""Records that lie in memory, as batches of like length for a student that does not train."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from research.data.batch import Batch, Example, Row, Tokens, pad_rows
from research.data.packing import best_fit, pack_rows
from research.data.stream import StreamInfo
from research.data.tokenised import encode
from research.errors import UserError
from research.step import Clean, View

if TYPE_CHECKING:
    from research.models.student import Student

TOKENS = 8192  # of a batch, padding included
SIZES = 9  # of rows that are tried
PADDING = 256  # of a batch at most; a further forward takes about as long as so many tokens


def batched(
    student: "Student",
    records: Sequence[dict[str, Any]],
    views: Sequence[View],
    info: StreamInfo,
    tokens: int = TOKENS,
) -> Iterator[tuple[np.ndarray, Batch]]:
    """The places (n,) in ``records`` of a few of like length, and their batch.

    A record has a ``text`` and maybe a ``text_pair``; longer ones are cut as in training. What a view draws depends on
    a record's place alone. A batch has at most so many ``tokens``, those to be written included, or one row.
    Single texts that are read as they are share rows, if the student takes such rows.
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
    left = np.argsort(-lengths, kind="stable")
    single = info.problem != "generate" and all(pair is None for _, pair in texts)
    packs = single and list(views) == [Clean()] and student.takes_packed
    while len(left):
        if packs:
            few = left[: max(int(np.searchsorted(lengths[left].cumsum(), tokens, "right")), 1)]
            rows, size = best_rows(lengths[few], student.width)
            most = max(tokens // size, 1)
            few, rows = few[rows < most], rows[rows < most]
        else:
            longest = int(lengths[left[0]])
            within = int(np.searchsorted((longest - lengths[left]).cumsum(), PADDING, "right"))
            few = left[: min(max(tokens // longest, 1), within)]
            rows = np.arange(len(few))
        left = left[~np.isin(left, few)]
        few = few[np.argsort(rows, kind="stable")]
        parts = np.split(few, np.cumsum(np.bincount(rows))[:-1])
        yield few, Batch({v: shown(student, v, examples, parts) for v in views}, index=torch.from_numpy(few))


def best_rows(lengths: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """The row (n,) of each text, and how many tokens a row has, so that a Transformer has least to do.

    Of rows as long as the longest text to twice that, those of the fewest products: a layer of width H takes
    ``24 H^2 + 4 L H`` for each token of a row of L.
    """
    sizes = np.unique(np.linspace(lengths.max(), 2 * lengths.max(), SIZES, dtype=int)).tolist()
    packed = [(best_fit(lengths, size), size) for size in sizes]
    return min(packed, key=lambda each: (int(each[0].max()) + 1) * each[1] * (6 * width + each[1]))


def shown(student: "Student", view: View, examples: Sequence[Example], parts: Sequence[np.ndarray]) -> Tokens:
    """The padded rows of a view of the examples of each part."""

    def built(i: int) -> Row:
        return view.build(examples[i], student.family, student.vocabulary, np.random.default_rng(i))

    if len(parts) == sum(map(len, parts)):
        rows = [built(part[0]) for part in parts]
    else:
        rows = [pack_rows([built(i) for i in part]) for part in parts]
    return pad_rows(rows, student.vocabulary.pad, student.has_types)


def example(student: "Student", info: StreamInfo, first: Sequence[int], second: Sequence[int] | None) -> Example:
    """One record, tokenised, cut to what its stream lets the student read."""
    limit = room(student, info.max_length or student.max_length, info, second is not None)
    ids = np.array(first, np.int64), None if second is None else np.array(second, np.int64)
    return Example(*cut(*ids, limit), ends=limit is None or len(first) + len(second or ()) <= limit)


def length(one: Example) -> int:
    """Tokens of an example's one or two texts, without those of the framing."""
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
