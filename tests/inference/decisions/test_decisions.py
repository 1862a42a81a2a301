"""Answers by decisions, and the file that keeps them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference.decisions import Decisions
from research.inference.decisions.calibration import Isotonic, Temperature
from research.inference.decisions.decisions import named
from research.inference.decisions.file import digest, read, write
from research.inference.decisions.rules import Confidence, Costs, Thresholds
from research.inference.decisions.scope import Energy, Mahalanobis, MaxProbability, Scope

LABELS = ("a", "b", "c")
STREAMS = {"s": StreamInfo("classify", LABELS), "t": StreamInfo("classify", ("x", "y"))}
NAMES = {"a": "A", "b": "B", "c": "C"}
LOGITS = np.array([[2.0, 0, 0], [0.1, 0, 0], [0, 9, 0], [-9, -9, -9.5]])
EMBEDDINGS = np.array([[1.0, 0], [0, 1], [3, 3], [0, 0]])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.save({"weights": torch.arange(3)}, path)
    return path


def test_the_reason_of_no_label_is_told() -> None:
    decisions = Decisions(LABELS, Temperature(2.0), Confidence(0.4), Scope(Energy(), 0.0), NAMES)
    sure, unsure, other, outside = decisions.answers(LOGITS, EMBEDDINGS)
    expected = torch.from_numpy(LOGITS / 2).softmax(-1)
    np.testing.assert_allclose(list(sure["probabilities"].values()), expected[0])
    assert (sure["label"], sure["name"], sure["in_scope"]) == ("a", "A", True) and "reason" not in sure
    assert unsure["label"] is None and unsure["reason"] == "not sure enough" and unsure["in_scope"]
    assert other["label"] == "b" and "name" not in unsure
    assert outside["label"] is None and outside["reason"] == "out of scope" and not outside["in_scope"]
    assert outside["scope_score"] == pytest.approx(float(torch.tensor(LOGITS[3]).logsumexp(0)))
    assert json.loads(json.dumps(outside)) == outside


@pytest.mark.parametrize(
    "decisions",
    [
        Decisions(LABELS),
        Decisions(LABELS, Temperature(1.7), Thresholds([0.2, 0.3, 0.5]), Scope(MaxProbability(), 0.4)),
        Decisions(LABELS, Isotonic([[0.0, 1.0]] * 3, [[0.1, 0.8]] * 3), Costs(1 - np.eye(3), 0.4)),
        Decisions(LABELS, scope=Scope(Mahalanobis(np.eye(3, 2), np.eye(2) / 3), -2.0), names=NAMES),
    ],
)
def test_what_was_written_answers_alike(decisions: Decisions, checkpoint: Path) -> None:
    path = write(checkpoint, {"s": decisions}, {"command": "calibrate"})
    assert path == checkpoint.parent.parent / "decisions.json"
    again = read(checkpoint, STREAMS, 2)["s"].answers(LOGITS, EMBEDDINGS)
    for one, other in zip(again, decisions.answers(LOGITS, EMBEDDINGS), strict=True):
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"))
        assert one.pop("scope_score", 0) == pytest.approx(other.pop("scope_score", 0)) and one == other


def test_tasks_of_one_checkpoint_stay_together(checkpoint: Path) -> None:
    write(checkpoint, {"s": Decisions(LABELS)}, {})
    write(checkpoint, {"t": Decisions(("x", "y"))}, {})
    assert set(read(checkpoint, STREAMS, 2)) == {"s", "t"}
    torch.save({"weights": torch.arange(4)}, checkpoint)
    write(checkpoint, {"t": Decisions(("x", "y"))}, {})
    assert set(read(checkpoint, STREAMS, 2)) == {"t"}, "what was fitted to other weights is gone"


def test_no_file_is_no_decisions(checkpoint: Path) -> None:
    assert read(checkpoint, STREAMS, 2) == {}


def test_decisions_of_other_weights_are_refused(checkpoint: Path) -> None:
    write(checkpoint, {"s": Decisions(LABELS)}, {})
    before = digest(checkpoint)
    torch.save({"weights": torch.arange(4)}, checkpoint)
    assert digest(checkpoint) != before
    with pytest.raises(UserError, match=r"decisions\.json: fitted to another checkpoint than .*last\.ckpt; calibrate"):
        read(checkpoint, STREAMS, 2)


def changed(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text())
    content["tasks"]["s"].update(values)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"labels": ["a", "b"]}, "task s: its labels are not those of the checkpoint, a, b, c"),
        ({"names": {"a": "A", "b": "B"}}, "task s: labels c have no name"),
        ({"calibration": {"kind": "Temperature", "value": 0}}, "task s: a temperature is 0; it must be above 0"),
        ({"calibration": {"kind": "Isotonic", "inputs": [[0, 1]], "outputs": [[0, 1]]}}, "task s: .*; calibrate again"),
        ({"rule": {"kind": "Thresholds", "values": [1, 2]}}, "task s: .*; calibrate again"),
        ({"rule": {"kind": "Thresholds", "values": [1, 2, -1]}}, "task s: a threshold is not above 0"),
        ({"rule": {"kind": "os.system"}}, "task s: .*; calibrate again"),
        ({"scope": {"kind": "Scope", "detector": 3, "least": 0}}, "task s: .*; calibrate again"),
        ({"whiskers": 3}, "task s: .*whiskers.*; calibrate again"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(values: dict, reason: str, checkpoint: Path) -> None:
    path = write(checkpoint, {"s": Decisions(LABELS)}, {})
    changed(path, **values)
    with pytest.raises(UserError, match=reason) as told:
        read(checkpoint, STREAMS, 2)
    assert str(told.value).startswith(f"{path}: ") and "\n" not in str(told.value)


def test_embeddings_of_another_width_are_refused(checkpoint: Path) -> None:
    scope = Scope(Mahalanobis(np.eye(3, 2), np.eye(2)), -1.0)
    write(checkpoint, {"s": Decisions(LABELS, scope=scope)}, {})
    with pytest.raises(UserError, match=r"task s: .*; calibrate again"):
        read(checkpoint, STREAMS, 5)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tasks": 3}', "[" * 100_000])
def test_a_torn_file_is_refused(content: str, checkpoint: Path) -> None:
    path = checkpoint.parent.parent / "decisions.json"
    path.write_text(content)
    with pytest.raises(UserError, match="calibrate again"):
        read(checkpoint, STREAMS, 2)
    write(checkpoint, {"s": Decisions(LABELS)}, {})
    assert set(read(checkpoint, STREAMS, 2)) == {"s"}, "and is written anew"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"a": "A", "b": "B", "d": "D"}, "labels d are not of the checkpoint, which has a, b, c"),
        ({"a": "A"}, "labels b, c have no name"),
        (["A"], "a JSON object of a string a label"),
        ({"a": 1, "b": "B", "c": "C"}, "a JSON object of a string a label"),
    ],
)
def test_names_that_do_not_match(names: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        named(names, LABELS)
