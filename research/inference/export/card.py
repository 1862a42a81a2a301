"""``README.md``: the model card, filled from the checkpoint and from what its run left behind."""

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from research.checkpoints.reading import load_checkpoint, run_of
from research.files import write_whole
from research.inference.export.card_layout import CARD
from research.inference.export.given import Given, Use
from research.inference.loading import checkpoint_of

KINDS = {  # the hub's names of what a stream asks for
    "classify": "text-classification",
    "multilabel": "text-classification",
    "regress": "text-regression",
    "generate": "text-generation",
}
LANGUAGE = {"encoder": "fill-mask", "decoder": "text-generation", "encoder-decoder": "text-generation"}  # of the others
PLACES = ("path", "paths", "package", "name", "backbone", "checkpoint")  # settings that say where something lies
FOLDER = "FOLDER"  # what stands in lines of code for the folder that is written


def write_card(checkpoint: Path, given: Given, use: Use, folder: Path, name: str) -> None:
    """Write the card of a checkpoint into a folder, which will have this name."""
    path = checkpoint_of(checkpoint)
    config = run_of(load_checkpoint(path), str(path))["config"]
    run = path.parent.parent
    write_whole(folder / "README.md", card(config, _json(run / "fit.json"), _json(run / "test.json"), given, use, name))


def card(
    config: Mapping[str, Any], fit: Mapping[str, Any], test: Mapping[str, float], given: Given, use: Use, name: str
) -> str:
    """The card's text.

    Args:
        config: the run's.
        fit: ``fit.json`` of the run, or nothing where it is not there.
        test: ``test.json``, figures by ``test/OBJECTIVE/FIGURE``, or nothing.
        given: what was exported.
        use: how it is used.
        name: of the folder.
    """
    from jinja2 import Environment, StrictUndefined

    student = given.student
    streams = [_stream(config, fit, given, each) for each in config["data"]["streams"]]
    objectives = [_objective(config, each) for each in config["model"]["objectives"]]
    values: dict[str, Any] = {
        "name": name,
        "library": use.library,
        "pipeline": use.pipeline,
        "code": use.code.replace(FOLDER, name),
        "checked": use.checked,
        "limits": use.limits,
        "answer": _answer(given),
        "family": student.family.name,
        "kind": student.config.model_type,
        "parameters": f"{sum(p.numel() for p in student.parameters()):,}",
        "layers": student.depth,
        "width": student.width,
        "base": student.backbone,
        "base_licence": licence(student.backbone),
        "objectives": objectives,
        "teacher": _teacher(config),
        "fit": fit,
        "seed": config.get("seed_everything"),
        "streams": streams,
        "kinds": {s["name"]: KINDS.get(s["problem"], LANGUAGE[student.family.name]) for s in streams},
        "results": _results(test, {o["name"]: o["stream"] for o in objectives}),
        "forgetting": _forgetting(test),
        "max_length": given.max_length,
    }
    return Environment(undefined=StrictUndefined).from_string(CARD).render(values) + "\n"  # noqa: S701  no HTML


def licence(where: str | None) -> str | None:
    """What is known of the licence of ``package:NAME...``, or of a folder with a card: none where nothing is."""
    if where is None:
        return None
    if where.startswith("package:"):
        with suppress(importlib.metadata.PackageNotFoundError):
            facts: Any = importlib.metadata.metadata(where.removeprefix("package:").split("/")[0])
            return facts.get("License-Expression") or facts.get("License")
        return None
    readme = Path(where).expanduser() / "README.md"
    lines = readme.read_text(encoding="utf-8").splitlines() if readme.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("license:")), None)


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _answer(given: Given) -> str:
    info = given.info
    if info is None:
        return ""
    labels = f", {len(info.labels)} labels: {', '.join(info.labels)}" if info.labels else ""
    return f"It answers the task `{given.task}` ({info.problem}{labels})."


def _objective(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    given = config["model"]["objectives"][name]
    stream = given["init_args"].get("stream")
    return {"name": name, "kind": _short(given), "stream": stream, "weight": _weight(config, name)}


def _weight(config: Mapping[str, Any], name: str) -> str:
    weighting = config["model"].get("weighting")
    if weighting is None:
        return "1"
    weights = weighting.get("init_args", {}).get("weights")
    if weights is None:
        return f"by {_short(weighting)}"
    given = weights.get(name, 1)
    if not isinstance(given, Mapping):
        return f"{given:g}" if isinstance(given, int | float) else str(given)
    return f"{given['start']:g} to {given['end']:g}" if {"start", "end"} <= given.keys() else json.dumps(dict(given))


def _teacher(config: Mapping[str, Any]) -> str | None:
    teacher = config["model"].get("teacher")
    if teacher is None:
        return None
    return f"{_short(teacher)} ({', '.join(_strings(teacher.get('init_args', {})))})"


def _stream(config: Mapping[str, Any], fit: Mapping[str, Any], given: Given, name: str) -> dict[str, Any]:
    source = config["data"]["streams"][name]["init_args"].get("source") or {}
    places = list(_strings(source.get("init_args", {})))
    known = (licence(place) for place in places)
    return {
        "name": name,
        "problem": given.model.streams[name].problem if name in given.model.streams else "",
        "source": f"{_short(source)} {', '.join(places)}".strip() if source else "",
        "licence": next((each for each in known if each), None),
        "fingerprint": fit.get("data", {}).get(name, {}).get("train", "")[:16],
    }


def _short(given: Mapping[str, Any]) -> str:
    return str(given.get("class_path", "")).rpartition(".")[2]


def _strings(given: Any) -> Iterator[str]:
    """The places that settings name: paths, packages and hub names."""
    for key, value in given.items() if isinstance(given, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _strings(value)
        elif key in PLACES and value is not None:
            yield from [value] if isinstance(value, str) else map(str, value)


def _results(test: Mapping[str, float], streams: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Figures of the test splits by stream."""
    found = dict[str, dict[str, float]]()
    for key, value in test.items():
        _, name, *figure = key.split("/")
        if name in streams:
            found.setdefault(streams[name], {})["/".join(figure)] = value
    return found


def _forgetting(test: Mapping[str, float]) -> dict[str, dict[str, float]]:
    found = dict[str, dict[str, float]]()
    for key, value in test.items():
        parts = key.split("/")
        if parts[1] == "forgetting" and len(parts) == 4:
            found.setdefault(parts[2], {})[parts[3]] = value
    return found
