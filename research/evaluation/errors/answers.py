"""What a run answered on its test splits, from ``predictions.jsonl``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.errors import UserError


@dataclass
class Answers:
    """A run's answers on the N test examples of a task of problem ``classify``.

    ``where`` they stand (N), their ``gold`` labels and the ``guess`` (N,) as text, the ``probability`` (N,) of the
    guess; ``labels`` are in the order of the head.
    """

    where: list[str]
    gold: np.ndarray
    guess: np.ndarray
    probability: np.ndarray
    labels: tuple[str, ...]

    @property
    def right(self) -> np.ndarray:
        """(N,) bool."""
        return self.gold == self.guess

    def in_order_of(self, where: list[str]) -> "Answers | None":
        """The same answers in the order of these places, or none where they are of other examples."""
        place = {w: i for i, w in enumerate(self.where)}
        if place.keys() != set(where):
            return None
        order = [place[w] for w in where]
        return Answers(where, self.gold[order], self.guess[order], self.probability[order], self.labels)


def read_answers(run: Path) -> dict[str, Answers]:
    """The answers of a run by stream; streams of other problems are passed over.

    Raises:
        UserError: if the folder holds no run, no predictions, or none of a task of problem ``classify``.
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
            if "label" in row:
                if "gold" not in row:
                    raise UserError(f"{path}: predictions without a gold label; this command writes them: {again}")
                streams.setdefault(row["stream"], []).append(row)
    if not streams:
        raise UserError(f"{one}: no predictions of a task of problem classify, which is what errors reads")
    return {name: _answers(rows) for name, rows in streams.items()}


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


def _answers(rows: list[dict[str, Any]]) -> Answers:
    return Answers(
        [row["where"] for row in rows],
        np.array([row["gold"] for row in rows]),
        np.array([row["label"] for row in rows]),
        np.array([row["probabilities"][row["label"]] for row in rows]),
        tuple(rows[0]["probabilities"]),
    )
