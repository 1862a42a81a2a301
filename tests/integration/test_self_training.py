"""A run that learns from the labels of another one, by the real program."""

import json
from pathlib import Path

import pytest

from research.data.sources import CSV, PseudoLabelled
from research.errors import UserError

SHARED = "{class_path: research.objectives.Classification, init_args: {stream: pseudo, head: intents}}"


def second(program, slices, file, keep):
    """The options of a run with a stream of the first run's labels."""
    source = {"class_path": "research.data.sources.CSV", "init_args": {"paths": str(slices / file), "text": "text"}}
    checkpoint = str(program.run_folder("first") / "checkpoints" / "last.ckpt")
    labelled = {"source": source, "checkpoint": checkpoint, "task": "intents", "keep": keep, "max_length": 32}
    stream = {"source": {"class_path": "research.data.sources.PseudoLabelled", "init_args": labelled}}
    stream |= {"validation": 0.0, "batch_size": 4, "max_length": 32}
    task = {"class_path": "research.data.TaskDataModule", "init_args": stream}
    return ["--data.streams.pseudo", json.dumps(task), "--model.objectives.pseudo", SHARED, "--trainer.max_steps", "6"]


@pytest.fixture(scope="module")
def first(program) -> Path:
    assert program("fit", "first", "--trainer.max_steps", "30") == 0
    assert program("predict", "first", "--trainer.max_steps", "30", "--ckpt_path", "last") == 0
    return program.run_folder("first")


def test_labels_are_what_predict_writes(first, slices):
    lines = [json.loads(line) for line in (first / "predictions.jsonl").open()]
    said = {line["where"]: line["label"] for line in lines}
    source, checkpoint = CSV(str(slices / "banking77/test.csv"), text="text"), str(first / "checkpoints/last.ckpt")
    every = PseudoLabelled(source, checkpoint, "intents", keep=1.0, max_length=32)
    assert {record["where"]: record["label"] for record in every} == said
    half = {record["where"] for record in PseudoLabelled(source, checkpoint, "intents", keep=0.5, max_length=32)}
    for label in set(said.values()):
        mine = [line for line in lines if line["label"] == label]
        kept = [max(line["probabilities"].values()) for line in mine if line["where"] in half]
        left = [max(line["probabilities"].values()) for line in mine if line["where"] not in half]
        assert len(kept) == -(-len(mine) // 2) and min(kept) >= max(left, default=0) - 1e-6
    few = list(PseudoLabelled(source, checkpoint, "intents", keep=1.0, count=7))
    assert len(few) == 7
    with pytest.raises(UserError, match="has no classes of a stream 'wiki'"):
        list(PseudoLabelled(source, checkpoint, "wiki"))


def test_a_run_learns_from_them(first, program, slices):
    assert program("fit", "second", *second(program, slices, "banking77/train.csv", 1.0)) == 0
    rows = program.log("second")
    assert all(float(row["loss/pseudo"]) > 0 for row in rows if row["loss/pseudo"])


def test_no_test_text_is_trained_on(first, program, slices, capsys):
    assert program("fit", "leaky", *second(program, slices, "banking77/test.csv", 1.0)) == 2
    assert "data.streams.pseudo.init_args.source: no training text is left beside what is held out" in "".join(
        capsys.readouterr()
    )
