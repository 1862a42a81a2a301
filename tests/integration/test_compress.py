"""``compress``: a smaller folder that answers, is exported and teaches as other runs do, and a table of its costs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from research.checkpoints.reading import load_checkpoint
from research.compression import command
from research.inference import load
from research.models.compression.integers import Rounded
from research.terminal import run_command

TEXTS = ["my card has not come yet", "how much is the exchange rate ?", "cash"]
WIDE = ["--model.student.architecture.hidden_size", "64", "--model.student.architecture.num_attention_heads", "4"]


@pytest.fixture(scope="module")
def run(program):
    few = ["--trainer.max_steps", "30", "--run.checkpoint_every", "30", "--trainer.val_check_interval", "10"]
    intents = "--data.streams.intents.init_args"
    validation = [f"{intents}.validation", "0.3", f"{intents}.batch_size", "8"]
    assert program("fit", "whole", *WIDE, *few, *validation) == 0
    return program.run_folder("whole")


def compress(run, output, *more):
    return run_command(["compress", "--ckpt", str(run), "--output", str(output), *more])


def made(run, folder, *more):
    """A compressed folder, not measured."""
    folder.mkdir()
    command.compress(command.parsed(["--ckpt", str(run), "--output", str(folder), *more]), folder)


@pytest.fixture(scope="module")
def small(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("students") / "small"
    methods = ["--layers", "1", "--heads", "0.5", "--vocabulary", "--rank", "16", "--bits", "8"]
    assert compress(run, folder, *methods, "--task", "intents", "--split", "test") == 0
    return folder


def test_folder_answers_by_itself(run, small, tmp_path):
    """Also elsewhere, and where what the run was made of is gone."""
    small.rename(tmp_path / "moved")
    line = "import sys, research.inference as i; print(i.load(sys.argv[1]).logits(['cash'], 'intents').tolist())"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "no cache"), "OMP_NUM_THREADS": "1"}
    given = [sys.executable, "-c", line, str(tmp_path / "moved")]
    said = subprocess.run(given, capture_output=True, text=True, check=True, env=environment).stdout
    (tmp_path / "moved").rename(small)
    np.testing.assert_allclose(json.loads(said), load(small).logits(["cash"], "intents"), rtol=1e-5)


def test_all_that_was_asked_is_done(run, small):
    whole, student = load(run).student, load(small).student
    assert (student.depth, whole.depth) == (1, 2)
    assert len(student.tokenizer) < len(whole.tokenizer)
    attention = student.model.bert.encoder.layer[0].attention
    assert attention.self.query.linear.up.numbers == 16 * 32  # half of the heads, of a rank
    rounded = sum(isinstance(module, Rounded) for module in student.modules())
    assert rounded == 16  # two for each of six maps, three embeddings, and the map before the output


def test_table_is_of_both(run, small):
    made = json.loads((small / "compression.json").read_text())
    first, second = made["rows"]
    assert (first["name"], second["name"], made["split"]) == ("as it was", "small", "test")
    sizes = {p: p.stat().st_size for p in [small / "checkpoints" / "last.ckpt", *(small / "tokenizer").iterdir()]}
    assert second["size"] == sum(sizes.values()) < 0.6 * first["size"]
    weights = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert first["parameters"] == sum(p.numel() for p in load(run).student.parameters())
    assert second["parameters"] < 0.6 * first["parameters"]
    assert first["size"] > 4 * sum(w.numel() for n, w in weights.items() if n.startswith("student.model.bert."))
    assert all(row["milliseconds"] > 0 and row["memory"] > 1e8 for row in made["rows"])
    texts, gold = [], []
    lines = (run.parents[1] / "tiny.yaml").read_text()
    path = next(line.split("paths: ")[1].split(",")[0] for line in lines.splitlines() if "test.csv" in line)
    import csv

    with open(path, newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            texts.append(record["text"])
            gold.append(record["category"])
    right = [answer["label"] == label for answer, label in zip(load(run).predict(texts, "intents"), gold, strict=True)]
    assert first["quality"] == pytest.approx(np.mean(right))
    assert (small / "compression.png").stat().st_size > 1000
    assert "| small |" in (small / "compression.md").read_text()


def test_nothing_done_changes_nothing(run, tmp_path):
    made(run, tmp_path / "same")
    np.testing.assert_allclose(load(tmp_path / "same").logits(TEXTS, "intents"), load(run).logits(TEXTS, "intents"))


def test_vocabulary_of_the_texts_alone_answers_them_alike(run, tmp_path):
    """A text whose tokens are all kept is answered as before."""
    (tmp_path / "more.txt").write_text("\n".join(TEXTS))
    made(run, tmp_path / "trimmed", "--vocabulary", str(tmp_path / "more.txt"))
    ours, theirs = load(tmp_path / "trimmed"), load(run)
    np.testing.assert_allclose(ours.logits(TEXTS, "intents"), theirs.logits(TEXTS, "intents"), atol=1e-6)
    assert len(ours.student.tokenizer) < len(theirs.student.tokenizer)


def test_exported_with_whole_weights(small, tmp_path):
    from transformers import pipeline

    folder = tmp_path / "exported"
    given = ["--ckpt", str(small), "--format", "transformers", "--task", "intents", "--output", str(folder)]
    assert run_command(["export", *given]) == 0
    classify = pipeline("text-classification", model=str(folder), top_k=None)
    for answer, ours in zip(classify(TEXTS, batch_size=3), load(small).predict(TEXTS, "intents"), strict=True):
        theirs = {one["label"]: one["score"] for one in answer}
        assert theirs == pytest.approx(ours["probabilities"], abs=0.02)  # ours rounds the inputs of its products


def test_compressed_student_teaches(program, small):
    """A run of the whole vocabulary cannot be taught by ids of a smaller one, and says so."""
    given = ["--model.teacher", "research.models.LiveTeacher", "--model.teacher.init_args.checkpoint"]
    kd = {"class_path": "research.objectives.HiddenDistillation", "init_args": {"stream": "intents"}}
    more = ["--model.objectives.kd", json.dumps(kd), "--trainer.max_steps", "2"]
    own = ["--model.student.tokenizer", str(small / "tokenizer")]
    checkpoint = str(small / "checkpoints" / "last.ckpt")
    assert program("fit", "taught", *WIDE, *more, *own, *given, checkpoint) == 0
    assert program("fit", "refused", *WIDE, *more, *given, checkpoint) == 2


COMPRESSION = [
    {"class_path": "research.models.compression.SharedLayers"},
    {"class_path": "research.models.compression.FactorisedEmbedding", "init_args": {"size": 16}},
    {"class_path": "research.models.compression.LowRank", "init_args": {"rank": 8}},
    {"class_path": "research.models.compression.LayerDrop", "init_args": {"rate": 0.3}},
]


def test_run_with_compression_goes_on_exactly_and_is_compressed_further(program, tmp_path):
    methods = ["--model.student.compression", json.dumps(COMPRESSION)]
    methods += ["--trainer.max_steps", "8"]
    assert program("fit", "straight", *WIDE, *methods) == 0
    run, folder = program.run_folder("straight"), tmp_path / "further"
    straight = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    before = str(run / "checkpoints" / "previous.ckpt")  # of step 4 of 8
    assert program("fit", "straight", *WIDE, *methods, "--ckpt_path", before) == 0
    again = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(weight, again[name]) for name, weight in straight.items())
    made(run, folder, "--bits", "8")
    kept = load_checkpoint(folder / "checkpoints" / "last.ckpt")["hybrid"]["config"]["model"]["student"]["compression"]
    names = [one["class_path"].rpartition(".")[2] for one in kept]
    assert names == ["SharedLayers", "FactorisedEmbedding", "LowRank", "Integers"]
    ours, theirs = load(folder).logits(TEXTS, "intents"), load(run).logits(TEXTS, "intents")
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--vocab-size", "400"], "--vocab-size: give --vocabulary too"),
        (["--heads", "1.5"], "--heads is 1.5; it must lie in (0, 1)"),
        (["--layers", "2"], "keep_layers is [2]; give rising numbers from 0 to 1"),
        (["--rank", "1000"], "rank 1000 makes no map of the model smaller"),
        (["--vocabulary", "--vocab-size", "50", "--task", "intents"], "a vocabulary of 50 has no room for the"),
        (["--task", "wiki"], "task: no wiki of problem classify or multilabel or regress; there is intents"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(run, more, told, tmp_path, capsys):
    assert compress(run, tmp_path / "none", *more) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert told in line
    assert not list(tmp_path.iterdir())
