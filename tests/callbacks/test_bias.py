"""Callbacks that measure and lessen what answers owe to groups, on students whose bias is known."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from research.callbacks import CrowsPairs, GroupGaps, GroupProjection, LayerSimilarity
from research.callbacks.group_projection import group_directions
from research.data.sources import Source
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import Student
from research.models.embedding import embed

TEXTS = ["she saw the bridge", "his old mother was there", "the river", "the queen met her sons", "a man of stone"]


class Texts(Source):
    """TEXTS with labels."""

    def __iter__(self) -> Any:
        return iter([{"text": t, "label": "ab"[i % 2], "where": f"memory:{i + 1}"} for i, t in enumerate(TEXTS)])

    def fingerprint(self) -> str:
        return "texts"


@pytest.fixture
def student(tiny: Any) -> Student:
    """In float32, with a head that goes by the difference between one text and its twin alone."""
    student = tiny("bert").float()
    student.add_head("s", 2)
    first, second = embed(student, ["she saw the bridge", "he saw the bridge"])
    with torch.no_grad():
        head = student.heads["s"].linear
        head.weight.copy_(torch.stack([first - second, second - first]))
        head.bias.copy_(head.weight @ -(first + second) / 2)
    return student.eval()


def module_of(student: Student, logged: dict[str, float]) -> Any:
    return SimpleNamespace(
        student=student,
        streams={"s": StreamInfo("classify", ("a", "b"))},
        objectives={},
        log_dict=lambda figures, logger: logged.update(figures),
    )


def test_gaps_are_found_and_projection_closes_them(student: Student) -> None:
    pytest.importorskip("fairlearn", reason="the extra fairness is not installed")
    trainer: Any = None
    before, after = dict[str, float](), dict[str, float]()
    GroupGaps("s", Texts()).on_test_epoch_end(trainer, module_of(student, before))
    assert before["test/gaps/shift"] > 0.01
    GroupProjection("s", Texts(), directions=4).project(module_of(student, {}))
    GroupGaps("s", Texts()).on_test_epoch_end(trainer, module_of(student, after))
    assert after["test/gaps/shift"] < 1e-4 * before["test/gaps/shift"], (
        "four texts differ along four directions at most"
    )
    assert after["test/gaps/flips"] == 0 and set(after) == set(before)


def test_one_direction_is_that_of_most_difference() -> None:
    direction = torch.nn.functional.normalize(torch.randn(6, generator=torch.manual_seed(0)), dim=0)
    first = torch.randn(50, 6)
    second = first + torch.randn(50, 1) * direction + 0.05 * torch.randn(50, 6)
    found, share = group_directions(first, second, 1)
    assert abs(float(found[0] @ direction)) > 0.99 and 0.95 < share < 1


def test_refusals(student: Student, tiny: Any) -> None:
    trainer: Any = None
    module = module_of(student, {})
    with pytest.raises(UserError, match="no head is called 't'; there is s"):
        GroupProjection("t", Texts()).on_fit_start(trainer, module)
    with pytest.raises(UserError, match="directions is 0"):
        GroupProjection("s", Texts(), directions=0)
    with pytest.raises(UserError, match="no text of the source names a group"):
        GroupGaps("s", Texts(), pairs=(("zzz", "yyy"),)).on_test_epoch_end(trainer, module)
    module.streams = {"s": StreamInfo("classify", ("a", "c"))}
    with pytest.raises(UserError, match=r"memory:2: its label 'b' is none of a, c"):
        GroupGaps("s", Texts()).on_test_epoch_end(trainer, module)
    with pytest.raises(
        UserError, match="a new architecture brings no language-model head, and no objective trains one"
    ):
        CrowsPairs(Texts()).on_test_start(trainer, module)


def test_layers_that_have_not_moved_and_one_that_has(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    student, logged = tiny("bert"), dict[str, float]()
    first = {name: value.clone() for name, value in student.model.state_dict().items()}
    monkeypatch.setattr("research.callbacks.layer_similarity.first_weights", lambda config: first)
    with torch.no_grad():
        for parameter in student.model.bert.encoder.layer[1].parameters():
            parameter.normal_()
    trained = {name: value.clone() for name, value in student.model.state_dict().items()}
    module = module_of(student, logged)
    module.config = {}
    LayerSimilarity(Texts()).on_test_epoch_end(None, module)  # type: ignore[arg-type]
    assert logged["test/cka/0"] == pytest.approx(1) and logged["test/cka/1"] == pytest.approx(1)
    assert logged["test/cka/2"] < 0.9 and len(logged) == 3
    assert all(torch.equal(value, trained[name]) for name, value in student.model.state_dict().items())
