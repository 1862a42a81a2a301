"""What the results keep of a finished run: its figures, what it cost, its curves, and which examples it got right."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash
import yaml

from research.ablation.results import commit
from research.callbacks.csv_log import CSVLog
from research.evaluation.run_log import objectives_of

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
        "examples": examples_of(folder, tested),
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


def examples_of(folder: Path, tested: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """For each tested accuracy a digit an example, 1 where it is right, and a digest of the examples' places.

    One stream may be classified by several objectives: those that answer otherwise than ``predict`` are left out.
    """
    path, streams = folder / "predictions.jsonl", dict[str, list[dict[str, Any]]]()
    for line in path.open(encoding="utf-8") if path.exists() else []:
        prediction = json.loads(line)
        if "gold" in prediction and "label" in prediction:
            streams.setdefault(prediction["stream"], []).append(prediction)
    found = {}
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) if streams else None
    for name, stream in objectives_of(config).items() if config else ():
        answers, accuracy = streams.get(stream, []), tested.get(f"test/{name}/accuracy")
        right = [one["gold"] == one["label"] for one in answers]
        if accuracy is not None and right and math.isclose(sum(right) / len(right), accuracy, abs_tol=SAME):
            places = xxhash.xxh3_64_hexdigest("\n".join(one["where"] for one in answers).encode())
            found[f"test/{name}/accuracy"] = {"places": places, "scores": "".join(str(int(one)) for one in right)}
    return found
