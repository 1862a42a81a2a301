"""What there is to say, as tables and examples, before it is text on a terminal or a page."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from research.data.inspect.layout import table, wrap

SHOWN = 3  # examples of a list on the terminal; the page has all
LINES = 3  # of an example's text


@dataclass
class Table:
    """Rows of cells under their heads; the first column is words, the others figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Shown:
    """One example and what is said of it."""

    caption: str
    text: str


@dataclass
class Picture:
    """A drawing, and what it shows in words."""

    svg: str
    words: str


@dataclass
class Section:
    """A heading and what belongs under it; ``wide`` tables are for the page alone."""

    title: str
    note: str = ""
    table: Table | None = None
    examples: list[Shown] = field(default_factory=list)
    picture: Picture | None = None
    wide: bool = False


def as_text(sections: Sequence[Section]) -> str:
    """The sections in at most 80 columns."""
    return "\n\n".join(_text(section) for section in sections) + "\n"


def _text(section: Section) -> str:
    parts = [f"{section.title}\n{'=' * len(section.title)}"]
    if section.note:
        parts.append("\n".join(wrap(section.note, 0, 9)))
    if section.table is not None and not section.wide:
        parts.append(table(section.table.head, section.table.rows))
    for shown in section.examples[:SHOWN]:
        parts.append("\n".join([*wrap(shown.caption, 0, 2), *wrap(shown.text, 4, LINES)]))
    return "\n\n".join(parts)
