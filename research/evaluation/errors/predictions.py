"""From ``predictions.jsonl`` to the answers of a run."""

import json
from pathlib import Path
from typing import Any

from research.errors import UserError
from research.evaluation.errors.answers import KINDS, Answers


def read_answers(run: Path) -> dict[str, Answers]:
    """The answers of a run by stream; streams without labels are passed over.

    Raises:
        UserError: if the folder holds no run, no predictions, or none of a task.
    """
    if not (run / "config.yaml").is_file():
        raise UserError(f"{run}: not the folder of a run (it has no config.yaml)")
    again = f"python -m research.cli predict --config {run}/config.yaml --ckpt_path {run}/checkpoints/last.ckpt"
    one = run / "predictions.jsonl"
    paths = [one] if one.is_file() else sorted(run.glob("predictions.*.jsonl"))  # of several processes
    if not paths:
        raise UserError(f"{run}: has no predictions.jsonl, which this command writes: {again}")
    streams: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        for row in read_rows(path, "stream", "where"):
            if kind_of(row):
                if "gold" not in row:
                    raise UserError(f"{path}: predictions without a gold answer; this command writes them: {again}")
                streams.setdefault(row["stream"], []).append(row)
    if not streams:
        raise UserError(f"{one}: no answers, which a task has that a head or a decoder answers")
    return {name: KINDS[kind_of(rows[0])].of(rows) for name, rows in streams.items()}


def kind_of(row: dict[str, Any]) -> str:
    """The key of the answer; empty where there is none, such as beside an embedding."""
    return next((key for key in KINDS if key in row), "")


def read_rows(path: Path, *keys: str) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line.

    Raises:
        UserError: for a line that is none, or lacks one of the keys.
    """
    rows = []
    for number, line in enumerate(path.open(encoding="utf-8"), 1):
        try:
            row = json.loads(line)
            assert isinstance(row, dict) and all(key in row for key in keys)
        except (ValueError, AssertionError):
            raise UserError(f"{path}:{number}: not a JSON object with {', '.join(keys)}") from None
        rows.append(row)
    return rows
