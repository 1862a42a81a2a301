"""Slot errors: what a sentence leaves out of its facts, adds to them, says twice or says wrongly.

The patterns find what people say of E2E's slots, as in the slot aligners of Dušek et al. 2019 (arXiv:1911.03905) and
Juraska et al. 2018 (arXiv:1805.06553); they were written from the development sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from research.applications.writing.facts import OPEN, SLOTS, Facts, spelt
from research.applications.writing.sayings import SAYINGS, mentions, plain

GENERIC = "restaurant"  # people call any place one
AKIN = [  # saying one for the other is not precise enough to say it, nor wrong
    {"cheap", "less than £20"}, {"moderate", "£20-25"}, {"high", "more than £30"},
    {"low", "1 out of 5"}, {"average", "3 out of 5"}, {"high", "5 out of 5"},
]  # fmt: skip
OFTEN = ("name", "eatType", "near")  # may be said again: it is how one refers back to a place


@dataclass(frozen=True)
class SlotErrors:
    """The slots with each kind of error, in E2E's order; ``slots`` counts those of the facts."""

    missing: tuple[str, ...]
    added: tuple[str, ...]
    repeated: tuple[str, ...]
    wrong: tuple[str, ...]
    slots: int

    def __len__(self) -> int:
        return len(self.missing) + len(self.added) + len(self.repeated) + len(self.wrong)


def slot_errors(sentence: str, facts: Facts, names: Sequence[str] = ()) -> SlotErrors:
    """Compare a sentence with its facts.

    A slot is *wrong* where the sentence says another value of it, *missing* where it says none, *added* where the facts
    have none, and *repeated* where the value stands there twice, which name, type and landmark may.

    Args:
        sentence: with real names.
        facts: what it should say.
        names: of other places, which it should not.
    """
    found: dict[str, list[str]] = {"name": [], "near": []}
    own = {facts[slot]: slot for slot in ("near", "name") if slot in facts}
    known = tuple(sorted({*own, *names}, key=len, reverse=True))

    def name(match: re.Match[str]) -> str:
        said = known[(match.lastindex or 0) - 1]
        found[own.get(said, "name")].append(said)
        return " _ "

    rest = names_among(known).sub(name, sentence)
    text = plain(rest)
    for slot in SAYINGS:
        found[slot] = mentions(text, slot)
        if (value := facts.get(slot)) is not None and value not in SAYINGS[slot]:  # a value that no pattern knows
            found[slot] += [value] * len(re.findall(spelt(value), rest, flags=re.IGNORECASE))
    found["eatType"] = [value for value in found["eatType"] if value == facts.get("eatType") or value != GENERIC]
    kinds: dict[str, list[str]] = {"missing": [], "added": [], "repeated": [], "wrong": []}
    for slot in SLOTS:
        if (kind := _error(found.get(slot, []), facts.get(slot), slot in OFTEN)) is not None:
            kinds[kind].append(slot)
    left = {slot for slot, placeholder in OPEN.items() if re.search(rf"\b{placeholder}\b", sentence)}
    kinds["added"] = [slot for slot in SLOTS if slot in kinds["added"] or slot in left - facts.keys()]
    return SlotErrors(**{kind: tuple(slots) for kind, slots in kinds.items()}, slots=len(facts))


@lru_cache(maxsize=1000)
def names_among(names: tuple[str, ...]) -> re.Pattern[str]:
    """A group for each name, of which the first that fits is taken."""
    return re.compile("|".join(f"({spelt(name)})" for name in names), re.IGNORECASE)


def _error(said: Sequence[str], wanted: str | None, may_repeat: bool) -> str | None:
    if wanted is None:
        return "added" if said else None
    said = [value for value in said if value == wanted or {value, wanted} not in AKIN]
    if any(value != wanted for value in said):
        return "wrong"
    if not said:
        return "missing"
    return "repeated" if len(said) > 1 and not may_repeat else None


def slot_error_rates(errors: Sequence[SlotErrors]) -> dict[str, float]:
    """Errors of N sentences in percent of the slots of their facts: ``slot_errors`` in all, and by kind."""
    slots = sum(each.slots for each in errors)
    rates = {"slot_errors": 100 * sum(map(len, errors)) / slots}
    for kind in ("missing", "added", "repeated", "wrong"):
        rates[kind] = 100 * sum(len(getattr(each, kind)) for each in errors) / slots
    return rates
