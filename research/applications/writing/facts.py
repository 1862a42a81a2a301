"""The facts of a place: read from a meaning representation, put into words for the student, and named again.

Values of open slots, of which a directory always has new ones, are hidden from the student behind placeholders, as in
TGen (Dušek & Jurčíček 2016, arXiv:1606.05491). So it writes of places that it has never read of, and whatever stands in
a value stays text.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from research.errors import UserError

Facts = dict[str, str]  # values by slot

OPEN = {"name": "NAME", "eatType": "TYPE", "food": "FOOD", "near": "NEAR"}  # their placeholders
CLOSED = {
    "priceRange": ("cheap", "moderate", "high", "less than £20", "£20-25", "more than £30"),
    "customer rating": ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"),
    "area": ("city centre", "riverside"),
    "familyFriendly": ("yes", "no"),
}
SLOTS = (*OPEN, *CLOSED)
WORDS = {"name": "name", "eatType": "type", "food": "food", "priceRange": "price", "customer rating": "rating",
         "area": "area", "familyFriendly": "family friendly", "near": "near"}  # fmt: skip

FACT = re.compile(r"\s*([^\[\],]+?)\s*\[([^\[\]]*)\]\s*(?:,|$)")
PLACEHOLDER = re.compile(rf"(\b[Aa]n? )?\b({'|'.join(OPEN.values())})\b( food\b)?")


def parsed(text: str, where: str) -> Facts:
    """The facts of ``slot[value], slot[value]``, as E2E writes them.

    Raises:
        UserError: for another form, an unknown slot or value, a slot given twice, or a value without a visible letter.
    """
    facts: Facts = {}
    at = 0
    while at < len(text):
        found = FACT.match(text, at)
        if found is None:
            raise UserError(f"{where}: no facts: expected slot[value], slot[value] at '{text[at : at + 40]}'")
        slot, value = found[1], found[2].strip()
        if slot not in SLOTS:
            raise UserError(f"{where}: unknown slot '{slot}'; there are {', '.join(SLOTS)}")
        if slot in facts:
            raise UserError(f"{where}: slot '{slot}' is given twice")
        if not value.isprintable() or not any(letter.isalnum() for letter in value):
            raise UserError(f"{where}: slot '{slot}' has no value that can be written: {value!r}")
        if value not in CLOSED.get(slot, (value,)):
            raise UserError(f"{where}: slot '{slot}' is '{value}'; it can be {', '.join(CLOSED[slot])}")
        facts[slot] = value
        at = found.end()
    if "name" not in facts:
        raise UserError(f"{where}: the facts have no name; add name[...]")
    return facts


def in_words(facts: Facts) -> str:
    """What the student reads: all slots in one order, open values behind their placeholders."""
    return ", ".join(f"{WORDS[slot]} {OPEN.get(slot, facts[slot])}" for slot in WORDS if slot in facts)


def unnamed(sentence: str, values: Mapping[str, Iterable[str]]) -> str:
    """The sentence with placeholders for the values of open slots; longer values first."""
    placeholder = {value: OPEN[slot] for slot in OPEN for value in values.get(slot, ())}
    for value in sorted(placeholder, key=len, reverse=True):
        sentence = re.sub(spelt(value), placeholder[value], sentence, flags=re.IGNORECASE)
    return sentence


def named(sentence: str, facts: Facts) -> str:
    """The sentence with the facts for its placeholders; "a" and "an", capitals and "fast food food" are put right.

    A placeholder without a fact stays, and counts as a slot error.
    """
    slot_of = {placeholder: slot for slot, placeholder in OPEN.items()}

    def fill(found: re.Match[str]) -> str:
        article, placeholder, food = (part or "" for part in found.groups())
        value = facts.get(slot_of[placeholder])
        if value is None:
            return found[0]
        if article:
            article = article[0] + ("n " if value[0].lower() in "aeiou" else " ")
        elif re.search(r"(^|[.!?]\s+)$", sentence[: found.start()]):
            value = value[0].upper() + value[1:]
        return article + value + ("" if value.lower().endswith(food) else food)

    return PLACEHOLDER.sub(fill, sentence)


def spelt(value: str) -> str:
    """A pattern of the value in a sentence: a leading "The" and accents may be missing."""
    the, rest = ("(?:The )?", value[4:]) if value.lower().startswith("the ") else ("", value)
    letters = (re.escape(c) if (bare := folded(c)) == c else f"(?:{re.escape(c)}|{re.escape(bare)})" for c in rest)
    return rf"\b{the}{''.join(letters)}(?!\w)"


def folded(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
