"""Several texts for each source, of which the best is taken."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from research.data.batch import IGNORE, Tokens
from research.errors import UserError
from research.inference.writing import room_after, write

if TYPE_CHECKING:
    from research.models.student import Student


def write_candidates(student: "Student", tokens: Tokens, most: int, count: int, **settings: Any) -> list[list[str]]:
    """At most ``count`` different texts for each of the N sources that ``Clean()`` shows.

    Without further settings they come from a beam search of that width, the likeliest first; with ``do_sample=True``
    they are drawn. ``settings`` are those of Transformers' ``generate``; ``most`` bounds the tokens of a text.

    Raises:
        UserError: for a count below 1.
    """
    if count < 1:
        raise UserError(f"count is {count}; write at least 1 candidate")
    lengths = tokens.mask.sum(1)
    room = room_after(student, lengths, most)
    if room < 1:
        return [[""] for _ in lengths]
    width = 1 if settings.get("do_sample") else count
    given = {"num_return_sequences": count, "num_beams": width, **settings}
    written = write(student, tokens.ids, lengths, room, **given)
    texts = [str(student.tokenizer.decode(row[row != IGNORE], skip_special_tokens=True)) for row in written]
    return [distinct(texts[start : start + count]) for start in range(0, len(texts), count)]


def distinct(texts: Sequence[str]) -> list[str]:
    """The texts that differ in more than case, white space and the last stop; of equal ones the first."""
    return [*{" ".join(text.lower().split()).rstrip(" ."): text for text in reversed(texts)}.values()][::-1]


def best(candidates: Sequence[str], cost: Callable[[str], float]) -> str:
    """The candidate of the least cost, the first of equal ones."""
    return min(candidates, key=cost)
