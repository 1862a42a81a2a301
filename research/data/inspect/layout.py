"""Text in columns for a terminal, where a Chinese character is two columns wide."""

import unicodedata
from collections.abc import Iterable, Sequence

COLUMNS = 80


def width(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(columns_of(letter) for letter in text)


def columns_of(letter: str) -> int:
    """Columns of a terminal that a letter takes: 0, 1 or 2."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def clip(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis, in at most ``columns`` columns."""
    return text if width(text) <= columns else beginning(text, columns - 1) + "…"


def beginning(text: str, columns: int) -> str:
    """As many of its first letters as ``columns`` columns hold."""
    used = 0
    for i, letter in enumerate(text):
        used += columns_of(letter)
        if used > columns:
            return text[:i]
    return text


def fill(text: str, columns: int, right: bool = False) -> str:
    """The text with spaces after it, or before it, up to ``columns`` columns."""
    space = " " * (columns - width(text))
    return space + text if right else text + space


def wrap(text: str, indent: int, lines: int) -> list[str]:
    """Indented lines of at most :data:`COLUMNS` columns, broken at a space where one is near, else anywhere.

    What does not fit into ``lines`` lines is left out behind an ellipsis.
    """
    room, out = COLUMNS - indent, list[str]()
    rest = " ".join(text.split())
    while rest and len(out) < lines - 1:
        line = beginning(rest, room)
        if len(line) < len(rest) and rest[len(line)] != " " and line.rfind(" ") > len(line) * 2 // 3:
            line = line[: line.rfind(" ")]
        out.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    return [" " * indent + line for line in [*out, *([clip(rest, room)] if rest else [])]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, and clipped where it would not fit, the others to the right."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    widths[0] = min(widths[0], max(COLUMNS - sum(widths[1:]) - 2 * len(widths[1:]), 8))
    cells = [[clip(row[0], widths[0]), *row[1:]] for row in cells]
    lines = ["  ".join(fill(cell, widths[i], right=i > 0) for i, cell in enumerate(row)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(width, lines)), *lines[1:]])


def bars(counts: Sequence[tuple[str, int]]) -> str:
    """A bar a line, the longest as long as the terminal allows; every count above 0 has a mark."""
    names = max((min(width(name), 32) for name, _ in counts), default=0)
    digits = max((len(f"{count:,}") for _, count in counts), default=0)
    scale = (COLUMNS - names - digits - 4) / max((count for _, count in counts), default=1)
    lines = []
    for name, count in counts:
        bar = "#" * max(int(count * scale), int(count > 0))
        lines.append(f"{fill(clip(name, 32), names, right=True)}  {count:>{digits},}  {bar}".rstrip())
    return "\n".join(lines)
