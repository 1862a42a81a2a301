"""What is read of ``predictions.jsonl``, and what is refused."""

import json
from pathlib import Path

import pytest

from research.errors import UserError
from research.evaluation.errors.answers import Classified, Measured, Tagged, Written
from research.evaluation.errors.predictions import read_answers


def line(where: str, gold: str | None, label: str, **more: object) -> str:
    row = {"stream": "task", "where": where, "label": label, "probabilities": {"x": 0.3, "y": 0.7}, **more}
    return json.dumps(row if gold is None else row | {"gold": gold}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("{}")
    return tmp_path


def test_reads_the_tasks_of_every_problem(run: Path) -> None:
    others = [
        {"stream": "wiki", "where": "w:1", "embedding": [0.1]},
        {"stream": "sts", "where": "s:1", "gold": 2.5, "value": 2.0},
        {"stream": "tags", "where": "t:1", "gold": ["b"], "labels": ["a", "b"], "probabilities": {"a": 0.6, "b": 0.9}},
        {"stream": "tags", "where": "t:2", "gold": [], "labels": [], "probabilities": {"a": 0.2, "b": 0.1}},
        {"stream": "facts", "where": "g:1", "gold": "a b c", "text": "a b"},
    ]
    text = line("f:1", "x", "y") + "".join(json.dumps(row) + "\n" for row in others) + line("f:2", "x", "x")
    (run / "predictions.jsonl").write_text(text)
    found = read_answers(run)
    assert list(found) == ["task", "sts", "tags", "facts"]
    task, number, tags, written = found.values()
    assert isinstance(number, Measured) and number.scores.tolist() == [0.5]
    assert isinstance(tags, Tagged) and tags.right.tolist() == [False, True] and tags.told(0) == ("b", "a, b")
    assert tags.sure.tolist() == [0.6, 0.8], "the wrong label, and the least sure of two right decisions"
    assert tags.told(1) == ("none", "none") and tags.alike(tags).all()
    assert isinstance(written, Written) and written.guess.tolist() == ["a b"]
    assert isinstance(task, Classified) and task.where == ["f:1", "f:2"] and task.labels == ("x", "y")
    assert task.right.tolist() == [False, True] and task.probability.tolist() == [0.7, 0.3]
    turned = task.in_order_of(["f:2", "f:1"])
    assert isinstance(turned, Classified) and turned.guess.tolist() == ["x", "y"]
    assert task.in_order_of(["f:2", "f:3"]) is None


def test_reads_what_several_processes_wrote(run: Path) -> None:
    for rank in (0, 1):
        (run / f"predictions.{rank}.jsonl").write_text(line(f"f:{rank}", "x", "y"))
    assert read_answers(run)["task"].where == ["f:0", "f:1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "has no predictions.jsonl, which this command writes: python -m research.cli predict --config .*ckpt"),
        (line("f:1", None, "y"), "predictions without a gold answer; this command writes them: python -m"),
        (
            '{"stream": "wiki", "where": "w:1", "embedding": [0.1]}\n',
            "no answers, which a task has that a head",
        ),
        (line("f:1", "x", "y") + '{"stream"\n', r"predictions\.jsonl:2: not a JSON object with stream, where"),
        ('{"stream": "task"}\n', r"predictions\.jsonl:1: not a JSON object with stream, where"),
    ],
)
def test_says_what_is_wrong(run: Path, text: str | None, told: str) -> None:
    if text is not None:
        (run / "predictions.jsonl").write_text(text)
    with pytest.raises(UserError, match=told):
        read_answers(run)


def test_a_folder_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not the folder of a run \(it has no config.yaml\)"):
        read_answers(tmp_path / "none")
