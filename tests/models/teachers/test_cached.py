"""A cached teacher gives the live one's losses, and says in one line what it does not have."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from research.data.batch import Batch
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import CachedTeacher, LiveTeacher, Student
from research.models.teachers.caching.kinds import Classes, Embeddings, Features, Kind, States, TopTokens
from research.models.teachers.caching.manifest import Manifest
from research.models.teachers.caching.rows import examples_digest, row_keys
from research.models.teachers.caching.table import Appender, finish
from research.objectives import Distillation
from research.step import Clean, Step, View

VIEWS = {"bert": Masked(0.4), "gpt2": NextToken(), "t5": SpanCorrupted(0.4)}
INFO = {"s": StreamInfo("classify", ("a", "b", "c"))}
LABELS = [0, 1, 2, 1, 0, 2, 2, 1]


@pytest.fixture
def live(tiny: Any, tmp_path: Path) -> Callable[..., LiveTeacher]:
    """A live teacher in float64 of random weights, which has learnt the classes of ``s``."""

    def live(name: str, probe: Sequence[Batch] = ()) -> LiveTeacher:
        student = tiny(name, seed=5)
        student.model.save_pretrained(tmp_path / "live")
        student.tokenizer.save_pretrained(tmp_path / "live")
        teacher = LiveTeacher(str(tmp_path / "live"))
        teacher.build(torch.device("cpu"))
        teacher.student.double()
        if probe:
            teacher.fit_probe("s", probe, "abc")
        teacher.student.double()
        return teacher

    return live


@pytest.fixture
def cache_of(tmp_path: Path) -> Callable[..., CachedTeacher]:
    """A cache of what a teacher answers to batches, as the command writes it."""

    def cache_of(teacher: LiveTeacher, batches: Sequence[Batch], kinds: Sequence[Kind], k: int | None = None) -> Any:
        manifest = Manifest(tmp_path / "cache")
        manifest.folder.mkdir()
        manifest.claim({"teacher": teacher.fingerprint(), "k": k})
        teacher.tokenizer.save_pretrained(str(manifest.folder / "tokenizer"))
        for kind in kinds:
            table = Appender(manifest.folder / kind.name)
            for view, tokens in ((v, t) for batch in batches for v, t in batch.views.items()):
                if tokens.labels is None and isinstance(kind, Features | TopTokens):
                    continue
                answer = teacher.answer("s", view, tokens)
                for key, cells in zip(row_keys(tokens), kind.cells(answer, tokens, table.folder), strict=True):
                    table.add(int(key), cells)
            table.flush()
            manifest.tables[kind.name] = finish(table.folder)
        manifest.runs.append("run")
        manifest.save()
        cached = CachedTeacher(str(manifest.folder))
        cached.build(torch.device("cpu"))
        return cached

    return cache_of


def loss_of(objective: Distillation, student: Student, batch: Batch, teacher: Any) -> torch.Tensor:
    return objective(Step({"s": batch}, student, teacher, {"s": objective.views()}))


@pytest.mark.parametrize("name", VIEWS)
def test_class_loss_is_the_live_ones(
    name: str, tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any
) -> None:
    student = tiny(name)
    batch = batch_of(student, texts, [Clean()], LABELS)
    teacher = live(name, [batch])
    cached = cache_of(teacher, [batch], [Classes("s", examples_digest([batch], "abc"))])
    cached.check(student, INFO)
    cached.fit_probe("s", [batch], "abc")
    objective = Distillation("s", temperature=2.0)
    objective.build(student, INFO)
    student.double().eval()
    for rows in ([0, 1, 2], [7, 3, 3]):  # other batches of the same rows, one of them twice, with other padding
        part = batch_of(student, [texts[i] for i in rows], [Clean()], [LABELS[i] for i in rows])
        expected = loss_of(objective, student, part, teacher)
        torch.testing.assert_close(loss_of(objective, student, part, cached), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("name", [*VIEWS, "t5-generate"])
def test_token_loss_is_the_live_ones(
    name: str, temperature: float, tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any
) -> None:
    view: View = Conditional() if "-" in name else VIEWS[name]
    name = name.split("-")[0]
    student = tiny(name)
    batch = batch_of(student, texts, [view], targets=texts[::-1])
    teacher = live(name)
    cached = cache_of(teacher, [batch], [Features()])
    objective = Distillation("s", tokens=view, temperature=temperature)
    expected = loss_of(objective, student, batch, teacher)
    got = loss_of(objective, student, batch, cached)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-3)
    parameters = [p for p in student.model.parameters() if p.requires_grad]
    gradients = [torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (got, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-3)


def test_nearly_all_tokens_are_nearly_the_live_loss(
    tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any
) -> None:
    student, view = tiny("bert"), Masked(0.4)
    batch, teacher = batch_of(student, texts, [view]), live("bert")
    k = len(student.tokenizer) - 2
    cached = cache_of(teacher, [batch], [TopTokens(2.0, k)], k)
    objective = Distillation("s", tokens=view, temperature=2.0)
    expected = loss_of(objective, student, batch, teacher)
    torch.testing.assert_close(loss_of(objective, student, batch, cached), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", VIEWS)
def test_hidden_states(name: str, tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any) -> None:
    batch, teacher = batch_of(tiny(name), texts, [VIEWS[name]]), live(name)
    cached = cache_of(teacher, [batch], [States(), Embeddings()])
    tokens = batch.views[VIEWS[name]]
    mine, theirs = (t.answer("s", VIEWS[name], tokens).encoded.at_labels()[0] for t in (cached, teacher))
    torch.testing.assert_close(mine.double(), theirs.clone(), rtol=2e-3, atol=1e-3)
    mine, theirs = (t.answer("s", VIEWS[name], tokens).embedding() for t in (cached, teacher))
    torch.testing.assert_close(mine.double(), theirs.clone(), rtol=2e-3, atol=1e-3)


def test_what_is_not_there_is_told(tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any) -> None:
    student = tiny("bert")
    batch, other = (batch_of(student, some, [Clean()], [0, 1, 2]) for some in (texts[:3], texts[2:5]))
    teacher = live("bert", [batch])
    cached = cache_of(teacher, [batch], [Classes("s", examples_digest([batch], "abc"))])
    cached.fit_probe("s", [batch], "abc")
    with pytest.raises(UserError, match=r"data.streams.s: 2 of the 3 rows of a batch .* teacher cache --config"):
        cached.answer("s", Clean(), other.views[Clean()]).class_logits("s")
    answer = cached.answer("s", Clean(), batch.views[Clean()])
    with pytest.raises(UserError, match=r"data.streams.s: the cache .* has no 'states', only classes-s-"):
        _ = answer.encoded
    cached.fit_probe("s", [other], "abc")
    with pytest.raises(UserError, match=r"has no 'classes-s-[0-9a-f]{8}'"):
        answer.class_logits("s")


def test_refused_before_training(
    tiny: Any, texts: list[str], batch_of: Any, live: Any, cache_of: Any, tmp_path: Path
) -> None:
    student = tiny("bert")
    with pytest.raises(UserError, match=r"model.teacher: the cache .*nowhere is not there; write it: .* teacher cache"):
        CachedTeacher(str(tmp_path / "nowhere")).check(student, INFO)
    batch, teacher = batch_of(student, texts, [Clean()], LABELS), live("bert")
    cached = cache_of(teacher, [batch], [States()])
    cached.check(student, INFO)
    with pytest.raises(UserError, match="its tokenizer differs"):
        cached.check(tiny("gpt2"), INFO)
    CachedTeacher(str(cached.path), teacher).check(student, INFO)
    with pytest.raises(UserError, match="is of another teacher"):
        CachedTeacher(str(cached.path), LiveTeacher(teacher.backbone, probe_c=0.5)).check(student, INFO)
    config = Path(str(teacher.backbone)) / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(UserError, match="is of another teacher"):
        CachedTeacher(str(cached.path), LiveTeacher(teacher.backbone)).check(student, INFO)
    manifest = Manifest(cached.path)
    manifest.runs = []
    manifest.save()
    with pytest.raises(UserError, match=r"is not finished; write it"):
        CachedTeacher(str(cached.path)).check(student, INFO)
    (cached.path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="no manifest of a teacher's cache"):
        CachedTeacher(str(cached.path)).check(student, INFO)


def test_a_folder_belongs_to_one_teacher(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    Manifest(folder).claim({"teacher": "a", "k": None})
    Manifest(folder).claim({"teacher": "a", "k": None})
    with pytest.raises(UserError, match=r"is a cache with another k \(None, not 64\)"):
        Manifest(folder).claim({"teacher": "a", "k": 64})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty, and no teacher's cache"):
        Manifest(tmp_path / "other").claim({"teacher": "a", "k": None})
