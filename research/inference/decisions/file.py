"""``decisions.json`` beside a checkpoint: what was fitted to it, by task, as plain values."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.data.stream import StreamInfo
from research.errors import UserError
from research.files import write_whole
from research.inference.decisions.calibration import METHODS
from research.inference.decisions.decisions import Decisions, named
from research.inference.decisions.rules import Confidence, Costs, Thresholds
from research.inference.decisions.scope import DETECTORS, Scope

NAME = "decisions.json"
PARTS: dict[str, type] = {
    kind.__name__: kind for kind in (*METHODS.values(), *DETECTORS.values(), Confidence, Costs, Thresholds, Scope)
}


def beside(checkpoint: Path) -> Path:
    """Where the decisions of a checkpoint lie: in its run's folder, or where it lies alone."""
    folder = checkpoint.parent
    return (folder.parent if folder.name == "checkpoints" else folder) / NAME


def digest(checkpoint: Path) -> str:
    """Of the checksums of all that a checkpoint holds, which reading it compares with its bytes."""
    with zipfile.ZipFile(checkpoint) as archive:
        sums = sorted((Path(part.filename).name, part.CRC) for part in archive.infolist())
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()[:16]


def write(checkpoint: Path, tasks: Mapping[str, Decisions], made: Mapping[str, Any]) -> Path:
    """Write the decisions of a checkpoint; those of other tasks that were fitted to it stay.

    ``made`` tells how and with what figures, for people.
    """
    path, of, kept = beside(checkpoint), digest(checkpoint), dict[str, Any]()
    with suppress(UserError, OSError):
        kept = _content(path)
    if kept.get("checkpoint") != of:
        kept = {"tasks": {}}
    content = kept["tasks"] | {name: {**plain(one), "made": dict(made)} for name, one in tasks.items()}
    write_whole(path, json.dumps({"checkpoint": of, "tasks": content}, ensure_ascii=False) + "\n")
    return path


def read(checkpoint: Path, streams: Mapping[str, StreamInfo], width: int) -> dict[str, Decisions]:
    """The decisions beside a checkpoint by task; none where there is no file.

    Args:
        checkpoint: what they must have been fitted to.
        streams: what the checkpoint knows of each.
        width: H of its embeddings.

    Raises:
        UserError: naming the file, if it is torn, of another checkpoint, or does not fit the labels.
    """
    path = beside(checkpoint)
    if not path.exists():
        return {}
    content = _content(path)
    if content.get("checkpoint") != digest(checkpoint):
        raise UserError(
            f"{path}: fitted to another checkpoint than {checkpoint}; calibrate this one, or pass it over "
            "with --no-decisions"
        )
    out = {}
    for task, given in content["tasks"].items():
        labels = streams[task].labels if task in streams else ()
        if list(labels) != given.get("labels"):
            raise UserError(f"{path}: task {task}: its labels are not those of the checkpoint, {', '.join(labels)}")
        try:
            out[task] = _sound(made({k: v for k, v in given.items() if k != "made"}, labels), width)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: task {task}: {str(error) or type(error).__name__}; calibrate again") from None
    return out


def plain(part: Any) -> Any:
    """A part as plain values, with its kind."""
    if is_dataclass(part) and not isinstance(part, type):
        return {"kind": type(part).__name__} | {f.name: plain(getattr(part, f.name)) for f in fields(part)}
    if isinstance(part, np.ndarray):
        return [[float(f"{x:.7g}") for x in row] for row in part] if part.ndim == 2 else part.tolist()
    return part


def made(given: dict[str, Any], labels: tuple[str, ...]) -> Decisions:
    """The decisions that :func:`plain` wrote."""

    def part(value: Any) -> Any:
        if not (isinstance(value, dict) and value.get("kind") in PARTS):
            return value
        return PARTS[value["kind"]](**{k: part(v) for k, v in value.items() if k != "kind"})

    values = {name: part(value) for name, value in given.items() if name not in ("kind", "labels")}
    if values.get("names") is not None:
        named(values["names"], labels)
    return Decisions(labels, **values)


def _sound(decisions: Decisions, width: int) -> Decisions:
    """The decisions, tried on one text.

    Raises:
        ValueError: if parts of them are for other labels or embeddings.
    """
    (answer,) = decisions.answers(np.zeros((1, len(decisions.labels))), np.zeros((1, width)))
    if not np.isfinite([answer.get("scope_score", 0.0), *answer["probabilities"].values()]).all():
        raise ValueError("a value is not finite")
    return decisions


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({str(error).splitlines()[0]}); calibrate again") from None
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict):
        raise UserError(f"{path}: not what calibrate writes; calibrate again")
    return content
