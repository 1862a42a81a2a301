"""From one row of any source to a record: look columns up by name, check what they hold."""

from collections.abc import Mapping
from typing import Any, cast

from research.data.sources.source import Record
from research.errors import UserError


def columns(text: Any, text_pair: Any, label: Any, target: Any) -> dict[str, Any]:
    """The fields of a record that a source was asked for, each with the name of its column."""
    named = {"text": text, "text_pair": text_pair, "label": label, "target": target}
    return {field: column for field, column in named.items() if column is not None}


def look_up(row: Mapping[str, Any], column: str, where: str) -> Any:
    """`row[column]`; a dotted name that is no column itself walks into nested objects."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(f"{where}: no column '{column}'; there is {listed(row)}")
        value = value[part]
    return value


def listed(names: Any) -> str:
    """The first twenty names, for a message."""
    names = [str(name) for name in names]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "none"


def to_record(where: str, values: Mapping[str, Any]) -> Record:
    """Check the values of a row and make it a record.

    Whole numbers become strings as labels, since they name classes; floats stay. Raises `UserError` that
    begins with `where` for text that is no string, or that holds half a surrogate pair (JSON can write one,
    UTF-8 cannot).
    """
    record: dict[str, Any] = {"where": where}
    for field, value in values.items():
        record[field] = _label(value, where) if field == "label" else checked_text(value, field, where)
    return cast(Record, record)


def checked_text(value: Any, field: str, where: str) -> str:
    """`value`, if it is a string that UTF-8 can write."""
    if not isinstance(value, str):
        raise UserError(f"{where}: {field} must be a string, not {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {field} holds half a surrogate pair at character {error.start}") from error
    return value


def _label(value: Any, where: str) -> str | float | list[str]:
    if isinstance(value, str):
        if not value:
            raise UserError(f"{where}: label is empty")
        return checked_text(value, "label", where)
    if isinstance(value, float):
        return float(value)  # numpy's are floats too, but not ones that every writer takes
    if isinstance(value, list | tuple):
        return [str(_label(one, where)) for one in value]
    if hasattr(value, "__index__"):  # int, bool and the integers of numpy
        return str(value)
    raise UserError(f"{where}: label must be a string, a number or a list of these, not {_shown(value)}")


def _shown(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
