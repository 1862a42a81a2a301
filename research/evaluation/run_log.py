"""What a run has left so far: its config, the curves of its log, and the figures of its end."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from research.errors import UserError
from research.evaluation.rows import rows_of

Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values, both (n,); a step is a batch, as everywhere in the log."""


@dataclass(frozen=True)
class RunLog:
    """A run that has finished, was killed, or is being trained.

    Args:
        name: that of its folder, or another that tells it apart.
        folder: the run's.
        config: its ``config.yaml``.
        curves: the columns of its ``metrics.csv`` that hold numbers.
        fit: its ``fit.json``, none before it has finished.
        test: its ``test.json``, empty without a test.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    curves: dict[str, Curve]
    fit: dict[str, Any] | None
    test: dict[str, float]

    @classmethod
    def read(cls, folder: Path, name: str | None = None) -> "RunLog":
        """Read what there is.

        Raises:
            UserError: if the folder is not one of a run, or the run has logged no step.
        """
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder}: not the folder of a run (it has no config.yaml)")
        if not (folder / "metrics.csv").is_file():
            raise UserError(f"{folder}: no step is logged yet (it has no metrics.csv)")
        rows = rows_of(folder / "metrics.csv")
        if not rows:
            raise UserError(f"{folder}/metrics.csv: no whole row yet")
        return cls(
            name or folder.name,
            folder,
            yaml.safe_load((folder / "config.yaml").read_text()),
            {name: curve for name in rows[0] if name != "step" and len((curve := column(rows, name))[0])},
            read_json(folder / "fit.json"),
            read_json(folder / "test.json") or {},
        )

    @cached_property
    def objectives(self) -> dict[str, str]:
        """The stream of each objective of the config, empty for one that reads none."""
        return objectives_of(self.config)

    @property
    def steps(self) -> int:
        """The last step that is logged."""
        return max(int(steps[-1]) for steps, _ in self.curves.values())

    @property
    def end(self) -> str:
        """How far the run has come; one that goes on after its end has logged more steps than its ``fit.json`` says."""
        batches = self.config["trainer"].get("accumulate_grad_batches") or 1
        if self.fit is not None and self.steps <= self.fit["steps"] * batches:
            return "finished"
        return f"not finished: step {self.steps}"

    def group(self, prefix: str) -> dict[str, Curve]:
        """The curves whose names begin so, by the rest of the name."""
        return {name.removeprefix(prefix): c for name, c in self.curves.items() if name.startswith(prefix)}

    def came(self) -> dict[str, Curve]:
        """For each stream 1 at the steps that had a batch of it and 0 at the others, as its objectives' losses say."""
        every = self.curves["loss"][0]
        losses = self.group("loss/")
        streams = dict.fromkeys(stream for name, stream in self.objectives.items() if stream and name in losses)
        here = {
            s: [losses[n][0] for n, stream in self.objectives.items() if stream == s and n in losses] for s in streams
        }
        return {s: (every, np.isin(every, np.concatenate(steps)).astype(float)) for s, steps in here.items()}


def objectives_of(config: dict[str, Any]) -> dict[str, str]:
    """The stream of each objective of a config, empty for one that reads none."""
    named = config["model"]["objectives"]
    return {name: (one.get("init_args") or {}).get("stream", "") for name, one in named.items()}


def column(rows: list[dict[str, str]], name: str) -> Curve:
    """The steps that have a number there, and the numbers."""
    points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    return np.array([step for step, _ in points], dtype=int), np.array([value for _, value in points])


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file holds, or None where there is no file."""
    return json.loads(path.read_text()) if path.is_file() else None
