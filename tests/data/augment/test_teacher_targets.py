"""Targets by real checkpoints of both families that this project's own objective taught four sentences by heart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from research.data.augment import Continuation, TeacherTargets, Translator
from research.data.cache import default_folder
from research.data.masking import Conditional
from research.data.sources.source import Source
from research.errors import UserError
from research.objectives import Generation
from research.step import Step

FACTS = ["food: fish", "food: thai, price: low", "area: river", "price: high"]
SENTENCES = ["they serve fish", "cheap thai food", "at the river", "it is expensive"]
WRITERS: dict[str, type[Translator]] = {"t5": Translator, "gpt2": Continuation}


@pytest.fixture(scope="module", params=WRITERS)
def teacher(request: Any, tiny: Any, batch_of: Any, tmp_path_factory: Any) -> Translator:
    student = tiny(request.param, dropout=0.0).float().train()
    objective, view = Generation("s"), Conditional()
    batch = batch_of(student, FACTS, [view], targets=SENTENCES)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    for _ in range(250):
        loss = objective(Step({"s": batch}, student, None, {"s": [view]}))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.02:
            break
    folder = tmp_path_factory.mktemp(request.param)
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return WRITERS[request.param](str(folder))


@pytest.fixture
def facts(json_lines: Any) -> Any:
    return json_lines([{"text": text, "target": "gold"} for text in FACTS])


@pytest.mark.parametrize("beams", [1, 3])
def test_the_teachers_targets(beams: int, teacher: Translator, facts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the records, with padding between texts of unequal length; a second time from the disk."""
    source = TeacherTargets(facts, teacher, beams, batch_size=3, max_length=30)
    records = list(source)
    assert [(r["text"], r["target"]) for r in records] == list(zip(FACTS, SENTENCES, strict=True))
    assert [r["where"] for r in records] == [r["where"] for r in facts]
    assert source.fingerprint() == TeacherTargets(facts, teacher, beams, 16, 30).fingerprint()
    assert source.fingerprint() != TeacherTargets(facts, teacher, beams, 16, 31).fingerprint()
    monkeypatch.setattr(type(teacher), "load", lambda self: pytest.fail("written a second time"))
    assert list(source) == records


def test_no_end_leaves_the_record_out(teacher: Translator, facts: Any) -> None:
    """Four tokens hold no whole sentence, and a text that is longer is not read."""
    assert not list(TeacherTargets(facts, teacher, beams=1, max_length=4))


class Stopping(Source):
    """Records of another source, until ``stop``."""

    def __init__(self, source: Source, stop: int | None) -> None:
        self.source, self.stop = source, stop

    def __iter__(self) -> Any:
        for i, record in enumerate(self.source):
            if i == self.stop:
                raise KeyboardInterrupt
            yield record

    def fingerprint(self) -> str:
        return self.source.fingerprint()


def test_stopped_midway_goes_on(teacher: Translator, json_lines: Callable[..., Any]) -> None:
    """What was finished is kept, a torn line is not, and the texts are read that are left."""
    facts = json_lines([{"text": text} for text in FACTS * 2])
    source = TeacherTargets(Stopping(facts, 5), teacher, beams=1, batch_size=2, max_length=32)
    with pytest.raises(KeyboardInterrupt):
        list(source)
    folder = default_folder() / "teacher_targets"
    (part,) = folder.glob(f"{source.fingerprint()}.part")
    assert len(part.read_text().splitlines()) == 4
    kept = part.read_text().replace(SENTENCES[0], "as it was", 1)
    part.write_text(kept + '"fi')
    records = list(TeacherTargets(Stopping(facts, None), teacher, beams=1, batch_size=2, max_length=32))
    assert [r["target"] for r in records] == ["as it was", *SENTENCES[1:], *SENTENCES]
    assert not part.exists()


def test_no_model_of_the_kind(teacher: Translator, facts: Any) -> None:
    other = Continuation if type(teacher) is Translator else Translator
    with pytest.raises(UserError, match=r"translator .*: cannot be loaded for (continuing texts|sequence-to-sequence)"):
        list(TeacherTargets(facts, other(teacher.model)))


@pytest.mark.parametrize("name", ["beams", "batch_size", "max_length"])
def test_impossible_settings(name: str, facts: Any) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"{name} is 0; it must be at least 1"):
        TeacherTargets(facts, Translator("a"), **settings)
