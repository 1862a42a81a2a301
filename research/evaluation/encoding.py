"""Any texts through a student, outside of a mixture."""

from collections.abc import Iterator, Sequence

import numpy as np

from research.data.batch import Example, pad_rows
from research.data.tokenised import encode
from research.models.student import Student
from research.step import Encoded, View


def in_batches(
    student: Student, texts: Sequence[str], view: View, batch_size: int = 64, max_length: int | None = None
) -> Iterator[tuple[np.ndarray, Encoded]]:
    """The places (n,) in ``texts`` of a few of like length, and what the student makes of a view of them.

    Longer texts are cut to ``max_length`` tokens, special ones included; by default to what the student takes. What a
    view draws depends on a text's place alone.
    """
    longest = max_length or student.max_length
    room = longest and longest - student.family.overhead(pair=False)
    ids = encode(student.tokenizer, texts)
    device = next(student.parameters()).device
    examples = [Example(np.array(one[:room], dtype=np.int64), ends=len(one) <= (room or len(one))) for one in ids]
    order = np.argsort([len(example.first) for example in examples], kind="stable")
    for start in range(0, len(order), batch_size):
        few = order[start : start + batch_size]
        rows = [view.build(examples[i], student.family, student.vocabulary, np.random.default_rng(i)) for i in few]
        yield few, student(pad_rows(rows, student.vocabulary.pad, student.has_types).to(device))
