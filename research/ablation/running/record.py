"""What the results keep of a finished run: its figures, what it cost, its curves, and which examples it got right."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from research.ablation.results import commit
from research.callbacks.csv_log import CSVLog

POINTS = 50
SAME = 1e-5  # float32 figures of the same answers differ by less


def record(folder: Path) -> dict[str, Any]:
    """The parts of a line of ``results.jsonl`` that are known when the run is done."""
    fit = json.loads((folder / "fit.json").read_text())
    rows = CSVLog(folder).rows()
    last = {
        name: float(value) for row in rows for name, value in row.items() if value and name.startswith("validation/")
    }
    tested = json.loads((folder / "test.json").read_text()) if (folder / "test.json").exists() else {}
    speed = fit["steps_per_second"]  # of the last part of a run that was stopped
    return {
        "commit": commit(),
        "metrics": last | tested,
        "cost": {
            "seconds": fit["steps"] / speed if speed else fit["seconds"],
            "steps": fit["steps"],
            "tokens": sum(stream["tokens"] for stream in fit["mixture"].values()),
            "peak_memory_gb": fit["peak_memory_gb"],
        },
        "curve": curve_of(rows),
        "examples": examples_of(folder / "predictions.jsonl"),
    }


def curve_of(rows: Sequence[dict[str, str]]) -> dict[str, list[Any]]:
    """The loss and all that validations measured, over at most :data:`POINTS` steps; None where there is nothing."""
    names = ["loss", *(name for name in (rows[0] if rows else {}) if name.startswith("validation/"))]
    points: dict[int, dict[str, float]] = {}
    for row in rows:
        point = points.setdefault(int(row["step"]), {})
        point |= {name: float(row[name]) for name in names if row.get(name)}
    validated = [step for step in points if points[step].keys() - {"loss"}]
    kept = even(validated, POINTS // 2)
    kept += even([step for step in points if step not in validated], POINTS - len(kept))
    return {"step": sorted(kept)} | {name: [points[step].get(name) for step in sorted(kept)] for name in names}


def even(steps: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of them, the first and the last and others at even distances."""
    if len(steps) <= count:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)]


def examples_of(path: Path) -> dict[str, dict[str, Any]]:
    """For each classified stream a digit an example, 1 where it is right, and a digest of the examples' places."""
    streams: dict[str, list[dict[str, Any]]] = {}
    for line in path.open(encoding="utf-8") if path.exists() else []:
        prediction = json.loads(line)
        if "gold" in prediction and "label" in prediction:
            streams.setdefault(prediction["stream"], []).append(prediction)
    for predictions in streams.values():
        predictions.sort(key=lambda one: one["where"])  # arms of other batch sizes wrote them in another order
    return {
        name: {
            "places": xxhash.xxh3_64_hexdigest("\n".join(one["where"] for one in predictions).encode()),
            "scores": "".join(str(int(one["gold"] == one["label"])) for one in predictions),
        }
        for name, predictions in streams.items()
    }


def by_figure(record: Mapping[str, Any], objectives: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The examples of a record by the accuracy that they come to, given the stream of each objective.

    Several objectives may classify one stream: those that answer otherwise than ``predict`` have none.
    """
    found = {f"test/{name}/accuracy": record["examples"].get(stream) for name, stream in objectives.items()}
    return {
        figure: examples
        for figure, examples in found.items()
        if examples and figure in record["metrics"]
        if abs(examples["scores"].count("1") / len(examples["scores"]) - record["metrics"][figure]) < SAME
    }
