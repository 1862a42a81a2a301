"""The rows of a ``metrics.csv``, also of one that is being written, or that a kill left torn."""

import csv
from pathlib import Path


def rows_of(metrics: Path) -> list[dict[str, str]]:
    """The whole rows, by column. Where a run went back to a checkpoint, the steps after it count as it repeats them."""
    with metrics.open(newline="") as file:
        text = file.read()
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = list[dict[str, str]]()
    for row in csv.DictReader(lines):
        if None in row or None in row.values():
            continue
        while rows and _repeats(row, rows[-1]):
            rows.pop()
        rows.append(row)
    return rows


def _repeats(row: dict[str, str], last: dict[str, str]) -> bool:
    """Whether the last row is of a step that is trained again; that of a validation follows the row of its step."""
    step, before = int(row["step"]), int(last["step"])
    return step < before or (step == before and bool(row.get("loss")))
