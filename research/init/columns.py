"""Which column is the text, its pair, the label or the target: by its name first, else by what it holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from research.data.sources.fields import listed
from research.errors import UserError
from research.init.table import Table, number

NAMES = {
    "text": "text sentence sentence1 text1 premise question question1 query review body content message comment "
    "utterance document article prompt input source mr",
    "text_pair": "text_pair sentence2 text2 hypothesis question2",
    "label": "label labels class category intent sentiment score similarity stars rating topic queue tags",
    "target": "target ref reference summary answer response output completion translation",
}
LONG_LABEL = 40  # characters on average; what is longer is a text
WHOLE_SCALE = 20  # different whole numbers, above which they measure and name no classes


@dataclass(frozen=True)
class Column:
    """The values of a column that are there."""

    name: str
    values: list[Any]

    @cached_property
    def distinct(self) -> int:
        return len({str(value) for value in self.values})

    @cached_property
    def length(self) -> float:
        """Mean characters."""
        return sum(len(str(value)) for value in self.values) / max(len(self.values), 1)

    @cached_property
    def lists(self) -> bool:
        return any(isinstance(value, list) for value in self.values)

    @cached_property
    def numbers(self) -> bool:
        return not self.lists and all(map(number, self.values))

    @cached_property
    def measure(self) -> bool:
        """Whether it measures: numbers with a point, or many whole ones."""
        point = any(isinstance(value, float) or "." in str(value) for value in self.values)
        return self.numbers and self.distinct > 2 and (point or self.distinct > WHOLE_SCALE)

    @cached_property
    def prose(self) -> bool:
        """Strings of words, or of letters of a script without spaces."""
        if self.numbers or not all(isinstance(value, str) for value in self.values):
            return False
        words = sum(len(re.findall(r"[^\W_]+", value)) for value in self.values) / max(len(self.values), 1)
        return words >= 1.5 or (self.length >= 4 and any(not value.isascii() for value in self.values))


def columns_of(table: Table, asked: Mapping[str, str | None], answers: bool = True) -> dict[str, str]:
    """The column of each field that the table has; ``asked`` are those that the user names.

    Without ``answers`` only the text is looked for.

    Raises:
        UserError: if there is no text, or neither a label nor a target.
    """
    known = {name: Column(name, [row[name] for row in table.rows if row.get(name) is not None])
             for name in table.columns}  # fmt: skip
    chosen = {field: name for field, name in asked.items() if name is not None}
    for field, name in chosen.items():
        if name not in known:
            option = field.replace("_", "-")
            raise UserError(f"--{option} {name}: {table.first}: no such column; there is {listed(known)}")
        if list(chosen.values()).count(name) > 1:
            options = " and ".join(f"--{other.replace('_', '-')}" for other in chosen if chosen[other] == name)
            raise UserError(f"{options}: name the same column, {name}; give each its own")

    def left() -> dict[str, Column]:
        return {name: column for name, column in known.items() if name not in chosen.values()}

    def by_name(field: str) -> str | None:
        lower = {name.lower(): name for name in left()}
        return next((lower[name] for name in NAMES[field].split() if name in lower), None)

    def take(field: str, name: str | None) -> None:
        if field not in chosen and name is not None:
            chosen[field] = name

    def unanswered() -> bool:
        return answers and "label" not in chosen and "target" not in chosen

    if unanswered():
        take("label", by_name("label"))
    if unanswered():
        take("target", by_name("target"))
    if unanswered():
        take("label", _label(list(left().values()), len(table.rows)))
    prose = {name for name, column in left().items() if column.prose}
    named = by_name("text")
    take("text", named if named in prose else _longest([known[name] for name in prose]))
    if "text" not in chosen:
        told = "no column holds texts of two words or more, by the average"
        raise UserError(f"{table.first}: {told}; there is {listed(known)}; if one is the text, name it by --text")
    if unanswered():
        take("target", _longest([column for column in left().values() if column.prose]))
    if unanswered():
        told = "no column of labels or of texts to write"
        raise UserError(f"{table.first}: {told}; there is {listed(known)}; name it by --label or --target")
    if "label" in chosen:
        take("text_pair", by_name("text_pair"))
        size = known[chosen["text"]].length
        alike = [name for name, c in left().items() if c.prose and 0.5 <= c.length / size <= 2]
        if "text_pair" not in chosen and len(alike) == 1 and named is None and not asked.get("text"):
            first, second = (name for name in known if name in (chosen["text"], alike[0]))
            chosen |= {"text": first, "text_pair": second}
    return {field: chosen[field] for field in NAMES if field in chosen}


def problem_of(table: Table, chosen: Mapping[str, str]) -> str:
    """The problem of a task: generate, multilabel, regress or classify."""
    if "label" not in chosen:
        return "generate"
    label = Column("", [row[chosen["label"]] for row in table.rows if row.get(chosen["label"]) is not None])
    return "multilabel" if label.lists else "regress" if label.measure else "classify"


def _label(columns: list[Column], rows: int) -> str | None:
    """A measure with a point, else the column of fewest values that name more than one class, else of one."""
    measures = [c.name for c in columns if c.measure and c.distinct <= rows and any("." in str(v) for v in c.values)]
    if measures:
        return measures[0]
    lists = [c.name for c in columns if c.lists]
    if lists:
        return lists[0]
    few = [c for c in columns if 0 < c.distinct <= max(rows / 2, 1) and c.length <= LONG_LABEL]
    return min(few, key=lambda c: (c.distinct < 2, c.distinct)).name if few else None


def _longest(columns: list[Column]) -> str | None:
    return max(columns, key=lambda column: column.length).name if columns else None
