"""Three ways to write from facts: greedily, the best of several by its slot errors, and with every slot required."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from research.applications.writing.facts import OPEN, Facts, in_words, named
from research.applications.writing.slots import slot_errors
from research.data.batch import Example, Tokens, pad_rows
from research.data.tokenised import encode
from research.inference.candidates import best, write_candidates
from research.inference.repetition import first_written
from research.inference.required import Required
from research.inference.writing import room_after, write_texts

if TYPE_CHECKING:
    from research.models.student import Student

CANDIDATES = 8
BATCH = 64
CLAUSES: dict[str, str] = {
    "name": "It is called {}.", "eatType": "It is a {}.", "food": "It serves {} food.", "near": "It is near {}.",
    "priceRange": "The price range is {}.", "customer rating": "The customer rating is {}.", "area": "It is in the {}.",
}  # fmt: skip

Write = Callable[["Student", Sequence[Facts], int], list[str]]


def greedy(student: "Student", places: Sequence[Facts], most: int) -> list[str]:
    """The likeliest token at each place; N sentences with placeholders, of at most so many tokens."""
    return write_texts(student, read(student, places), most)


def reranked(student: "Student", places: Sequence[Facts], most: int) -> list[str]:
    """Of the likeliest texts of a beam search the one with the fewest slot errors; of equal ones the likeliest."""
    candidates = write_candidates(student, read(student, places), most, CANDIDATES)
    return [
        best(few, lambda text, facts=facts: len(slot_errors(named(text, facts), facts)))  # type: ignore[misc]
        for few, facts in zip(candidates, places, strict=True)
    ]


def required(student: "Student", places: Sequence[Facts], most: int) -> list[str]:
    """Greedily, where no text ends before it says every slot."""
    from transformers import LogitsProcessorList

    tokens = read(student, places)
    lengths = tokens.mask.sum(1)
    room = room_after(student, lengths, most)
    rule = Required(
        [lambda text, facts=facts: lacking(text, facts) for facts in places],  # type: ignore[misc]
        student.tokenizer, first_written(student, lengths), student.vocabulary.end, room,
    )  # fmt: skip
    return write_texts(student, tokens, most, logits_processor=LogitsProcessorList([rule]))


DECODINGS: dict[str, Write] = {"greedy": greedy, "reranked": reranked, "required": required}


def lacking(text: str, facts: Facts) -> list[str]:
    """A clause for each slot that a sentence with placeholders does not say, the name first."""
    missing = slot_errors(named(text, facts), facts).missing
    return [clause(slot, facts[slot]) for slot in missing]


def clause(slot: str, value: str) -> str:
    """A short sentence that says a slot, with a placeholder where its values are open."""
    if slot == "familyFriendly":
        return "It is family friendly." if value == "yes" else "It is not family friendly."
    return CLAUSES[slot].format(OPEN.get(slot, value))


def written(student: "Student", places: Sequence[Facts], most: int, write: Write) -> list[str]:
    """The sentences, with placeholders, for N places; facts that differ in names alone are written once."""
    texts: dict[str, str] = {}
    alike = {in_words(facts): facts for facts in places}
    order = sorted(alike, key=len)
    for start in range(0, len(order), BATCH):
        few = order[start : start + BATCH]
        texts |= zip(few, write(student, [alike[words] for words in few], most), strict=True)
    return [texts[in_words(facts)] for facts in places]


def read(student: "Student", places: Sequence[Facts]) -> Tokens:
    """What a student reads of places."""
    device = next(student.parameters()).device
    ids = encode(student.tokenizer, [in_words(facts) for facts in places])
    rows = [student.family.frame(Example(np.array(each, np.int64)), student.vocabulary) for each in ids]
    return pad_rows(rows, student.vocabulary.pad, student.has_types).to(device)
