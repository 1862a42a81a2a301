"""What a run's own file tells W&B, read back record by record."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BLOCK = 32768  # bytes; the format is LevelDB's log behind a header of seven bytes


def payloads(path: Path) -> Iterator[bytes]:
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # no header fits in what is left of the block
            at += BLOCK - at % BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part = data[at + 7 : at + 7 + length]
        if not checksum and not length:
            return
        assert len(part) == length
        parts, at = parts + part, at + 7 + length
        if kind in (1, 4):  # whole, or the last of its parts
            yield parts
            parts = b""


def records(folder: Path) -> list[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("*.wandb")
    return [Record.FromString(payload) for payload in payloads(path)]


def values(record: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.item}


@pytest.fixture(scope="module")
def told(program: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[Any]]]:
    """The run's folder, and the records of its training, its test and its predictions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_ID"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_CONFIG_DIR", str(tmp_path_factory.mktemp("settings")))
        patch.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("staged")))
        patch.setenv("WANDB_CACHE_DIR", str(tmp_path_factory.mktemp("cached")))
        offline = ["--run.wandb", "offline", "--run.tags", "[x]", "--run.group", "g"]
        assert program("fit", "page", *offline) == 0
        for command in ("test", "predict"):
            assert program(command, "page", *offline, "--ckpt_path", "last") == 0
    folder: Path = program.run_folder("page")
    runs = sorted((folder / "wandb").glob("offline-run-*"), key=os.path.getctime)
    return folder, [records(run) for run in runs]


def kinds(of_run: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in of_run if record.WhichOneof("record_type") == kind]


def test_panels_are_grouped_by_what_they_show(told: tuple[Path, list[list[Any]]]) -> None:
    training = told[1][0]
    (run,) = kinds(training, "run")
    assert (run.run_group, list(run.tags), run.project) == ("g", ["x"], "hybrid-fine-tuning")
    assert "objectives" in json.loads(next(u.value_json for u in run.config.update if u.key == "model"))
    names = {name for history in kinds(training, "history") for name in values(history)}
    groups = {name.split("/")[0] for name in names if not name.startswith("_")}
    assert groups == {"training", "loss", "weight", "weighted", "validation", "trainer"}
    assert {"training/loss", "loss/mlm", "weight/ce", "validation/mlm/perplexity"} <= names


def test_files_are_artifacts_and_the_checkpoint_is_not_copied(told: tuple[Path, list[list[Any]]]) -> None:
    folder, runs = told
    for of_run, extra in zip(runs, ({"model"}, set(), set()), strict=True):
        artifacts = {a.type: a for a in kinds(of_run, "artifact") if a.type in ("results", "model")}
        assert artifacts.keys() == {"results"} | extra
        files = {entry.path for entry in artifacts["results"].manifest.contents}
        assert {"config.yaml", "metrics.csv", "fit.json"} <= files
    (model,) = (a for a in kinds(runs[0], "artifact") if a.type == "model")
    (entry,) = model.manifest.contents
    assert entry.ref == (folder / "checkpoints" / "last.ckpt").resolve().as_uri() and entry.digest


def test_test_figures_are_in_the_summary(told: tuple[Path, list[list[Any]]]) -> None:
    folder, (_, tested, _) = told
    summary = {}
    for record in kinds(tested, "summary"):
        summary |= {u.key or "/".join(u.nested_key): json.loads(u.value_json) for u in record.update}
    figures = json.loads((folder / "test.json").read_text())
    assert {name: summary[name] for name in figures} == figures


def test_errors_are_a_table_with_their_texts(told: tuple[Path, list[list[Any]]], slices: Path) -> None:
    folder, (*_, predicted) = told
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/test/errors*.table.json")
    shown = json.loads(table.read_text())
    assert shown["columns"] == ["stream", "where", "text", "gold", "answer", "figure"]
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    wrong = {line["where"]: line for line in lines if line["stream"] == "intents" and line["label"] != line["gold"]}
    assert {row[1] for row in shown["data"]} == set(wrong)
    for _, where, text, gold, answer, figure in shown["data"]:
        line = wrong[where]
        assert (gold, answer) == (line["gold"], line["label"])
        assert figure == pytest.approx(line["probabilities"][answer]) and text in (
            slices / "banking77" / "test.csv"
        ).read_text().replace('""', '"')
    figures = [row[-1] for row in shown["data"]]
    assert figures == sorted(figures, reverse=True)
    assert any("test/errors/path" in values(history) for history in kinds(predicted, "history"))
