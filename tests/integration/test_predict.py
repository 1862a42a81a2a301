"""``predict --ckpt``: files and standard input in, JSON lines and Parquet out, stopped and gone on with."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.errors import UserError
from research.inference import load, results
from research.models.compression.integers import in_integers
from research.precision import native_bfloat16
from research.terminal import run_command


@pytest.fixture(scope="module")
def run(program: Any) -> Path:
    """A run's folder, with what Lightning's own loop predicts of the test split."""
    assert program("fit", "asked") == 0
    assert program("predict", "asked", "--ckpt_path", "last") == 0
    folder: Path = program.run_folder("asked")
    return folder


@pytest.fixture
def expected(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture
def test_csv(slices: Path) -> Path:
    return slices / "banking77" / "test.csv"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(answers: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return [a["label"] for a in answers] == [e["label"] for e in expected] and all(
        a["probabilities"] == pytest.approx(e["probabilities"], abs=1e-5)
        for a, e in zip(answers, expected, strict=True)
    )


def test_answers_are_those_of_the_training_loop(
    run: Path, test_csv: Path, expected: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--ckpt", str(run), "--input", str(test_csv), "--text", "text"]
    out = tmp_path / "new" / "answers.jsonl"
    assert run_command([*command, "--output", str(out)]) == 0
    assert f"50 answers in {out}" in capsys.readouterr().err
    assert same(lines(out), expected) and [a["where"] for a in lines(out)] == [e["where"] for e in expected]
    assert run_command([*command, "--output", str(out)]) == 2
    assert f"error: --output {out}: is there already" in capsys.readouterr().err
    table = tmp_path / "answers.parquet"
    assert run_command([*command, "--output", str(table)]) == 0
    assert same(pq.read_table(table).to_pylist(), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.parquet", "new"], "nothing is left beside them"
    assert run_command(command) == 0
    assert same([json.loads(line) for line in capsys.readouterr().out.splitlines()], expected)
    model = load(run / "checkpoints" / "last.ckpt")
    with test_csv.open(newline="") as file:
        assert same(list(model.predict(row["text"] for row in csv.DictReader(file))), expected)


def test_every_kind_of_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["my card has not arrived", "the exchange rate is wrong"]
    (tmp_path / "a.txt").write_text("\n\n".join(texts))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": {"said": text}}) + "\n" for text in texts))
    (tmp_path / "a.tsv").write_text("n\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    found = []
    for name, more in (("a.txt", []), ("a.jsonl", ["--text", "body.said"]), ("a.tsv", []), ("a.parquet", [])):
        assert run_command(["predict", "--ckpt", str(run), "--input", str(tmp_path / name), "--embed", *more]) == 0
        found.append([json.loads(line)["embedding"] for line in capsys.readouterr().out.splitlines()])
    assert np.shape(found) == (4, 2, 32)
    np.testing.assert_allclose(found, [found[0]] * 4, atol=1e-6)


def test_standard_input(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def given(content: bytes, *more: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return run_command(["predict", "--ckpt", str(run), *more])

    assert given(b'a lost card\n\n{"text": "a lost card"}\n') == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first.pop("where"), second.pop("where")) == ("<stdin>:1", "<stdin>:3") and first == second
    assert given(b'{"text": "a card", "other": "a card"}', "--score", "--text-pair", "other") == 0
    assert json.loads(capsys.readouterr().out)["score"] == pytest.approx(1.0, abs=1e-6)
    for content, reason in (
        (b"fine\n\xff\xfe", "<stdin>:2: not UTF-8"),
        (b'fine\n{"text": ', "<stdin>:2: begins with a brace, but is not JSON"),
        (b'{"body": "x"}', "<stdin>:1: no column 'text'; there is body"),
        (b'{"text": 7}', "<stdin>:1: text must be a string, not int '7'"),
    ):
        assert given(content) == 2
        assert f"error: {reason}" in capsys.readouterr().err


def test_a_stopped_command_goes_on(
    program: Any, run: Path, test_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with test_csv.open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)] * 500
    source, whole, out = tmp_path / "many.txt", tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(texts))
    command = ["predict", "--ckpt", str(run), "--input", str(source), "--output"]
    assert run_command([*command, str(whole)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "research.cli", *command, str(out)],
        env=program.environment(),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    until = time.monotonic() + 120
    while not (parts := [part for part in tmp_path.glob(".out*.part") if part.stat().st_size > 1000]):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and not out.exists()
    (part,) = parts
    done = sum(line.endswith(b"\n") for line in part.open("rb"))
    assert 0 < done < len(texts)
    with part.open("ab") as file:
        file.write(b'{"where": "torn')
    read = list[int]()
    write = results.Results.write

    def watched(self: results.Results, answers: Any) -> int:
        read.append(self.done)
        return write(self, answers)

    monkeypatch.setattr(results.Results, "write", watched)
    assert run_command([*command, str(out)]) == 0
    assert read == [done] and out.read_bytes() == whole.read_bytes() and not list(tmp_path.glob(".out*"))


def test_bad_input(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*more: str, ckpt: Path = run) -> str:
        assert run_command(["predict", "--ckpt", str(ckpt), *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    (tmp_path / "a.txt").write_bytes(b"fine\ncaf\xe9\n")
    bad, torn = str(tmp_path / "a.txt"), tmp_path / "torn.ckpt"
    assert told("--input", bad).startswith(f"error: {bad}:2: not utf-8")
    assert (
        told("--input", "b.docx")
        == "error: --input b.docx: its ending is none of .txt, .jsonl, .csv, .tsv and .parquet"
    )
    assert run_command(["predict", "--ckpt", str(run), "--input", bad, "--encoding", "latin-1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert f"--input {tmp_path}/none.txt: no such file" in told("--input", str(tmp_path / "none.txt"))
    assert "--output o.csv: its ending is neither" in told("--input", bad, "--output", "o.csv")
    assert "no none; there is intents" in told("--input", bad, "--task", "none")
    assert "--generate [1]: a JSON object is expected" in told("--generate", "[1]")
    assert "device is cuda:7" in told("--input", bad, "--device", "cuda:7")
    assert "no such checkpoint" in told("--input", bad, ckpt=tmp_path / "none")
    saved = (run / "checkpoints" / "last.ckpt").read_bytes()
    torn.write_bytes(saved[: len(saved) // 2])
    assert "not a readable checkpoint" in told("--input", bad, ckpt=torn)
    torn.write_bytes(saved[:5000] + bytes([saved[5000] ^ 1]) + saved[5001:])
    assert "not a readable checkpoint" in told("--input", bad, ckpt=torn)


def test_a_checkpoint_of_another_version(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    (tmp_path / "a.txt").write_text("a card")

    def told(path: Path) -> str:
        torch.save(saved, path)
        assert run_command(["predict", "--ckpt", str(path), "--input", str(tmp_path / "a.txt")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    saved["hybrid"]["config"]["model"]["student"]["whiskers"] = 3
    assert "this version has another model.student: " in (said := told(tmp_path / "b.ckpt")) and "whiskers" in said
    del saved["hybrid"]["config"]["model"]["student"]["whiskers"]
    removed = saved["state_dict"].popitem()
    assert "its weights are not those of its config" in told(tmp_path / "c.ckpt")
    saved["state_dict"].update([removed])
    del saved["hybrid"]["streams"]
    assert "lacks the streams, which version 0.1.0 needs (it was written by 0.1.0); fit it again" in told(
        tmp_path / "d.ckpt"
    )


def test_help_says_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--ckpt CHECKPOINT" in shown and "With --config in place of --ckpt" in shown
    assert os.environ.get("HYBRID_RUN_FOLDER") is None


def test_adapters_are_added_to_the_weights(program: Any, slices: Path) -> None:
    adapters = ["--model.student.lora", "{r: 4, target_modules: [query, value]}", "--trainer.max_steps", "4"]
    assert program("fit", "adapted", *adapters) == 0
    assert program("predict", "adapted", *adapters, "--ckpt_path", "last") == 0
    folder = program.run_folder("adapted")
    model = load(folder)
    assert not any("lora" in name for name, _ in model.student.named_parameters())
    with (slices / "banking77" / "test.csv").open(newline="") as file:
        assert same(
            list(model.predict(row["text"] for row in csv.DictReader(file))), lines(folder / "predictions.jsonl")
        )


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"precision": "bf16"}, marks=pytest.mark.skipif(not native_bfloat16(), reason="it is emulated")),
        {"precision": "int8"},
        pytest.param({"compile": True}, marks=pytest.mark.slow),
    ],
)
def test_other_ways_to_compute(how: dict[str, Any], run: Path, expected: list[dict[str, Any]], test_csv: Path) -> None:
    with test_csv.open(newline="") as file:
        answers = list(load(run, **how).predict(row["text"] for row in csv.DictReader(file)))
    for answer, other in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=2e-2)


def test_an_answer_in_int8_does_not_hang_on_its_batch(run: Path) -> None:
    model = load(run, precision="int8")
    texts = ["my card is lost", "how long does a transfer take, and what does it cost to send it abroad? " * 3]
    alone = np.concatenate([model.logits([text]) for text in texts])
    assert model.logits(texts) == pytest.approx(alone, abs=1e-4)


def test_int8_multiplies_in_int8(run: Path) -> None:
    exact, rounded = load(run).student.model, load(run, precision="int8").student.model
    assert in_integers(rounded) and not in_integers(exact)
    with pytest.raises(UserError, match="precision is int8, which is for device cpu and without compile"):
        load(run, precision="int8", compile=True)
