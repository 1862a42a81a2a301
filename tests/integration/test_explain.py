"""``explain``: texts and files in, JSON lines and a page out."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.inference import load
from research.terminal import run_command

pytest.importorskip("captum", reason="the extra explain is not installed")
TEXTS = ["My card has not arrived", "the <b>exchange</b> rate is wrong"]


@pytest.fixture(scope="module")
def run(program: Any) -> Path:
    assert program("fit", "explained") == 0
    folder: Path = program.run_folder("explained")
    return folder


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "attention"])
def test_answers_and_weights(run: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", "--ckpt", str(run), "--text", *TEXTS, "--method", method]) == 0
    found = lines(capsys.readouterr().out)
    expected = load(run, decisions=False).predict(TEXTS)
    for text, one, answer in zip(TEXTS, found, expected, strict=True):
        assert one["label"] == answer["label"]
        parts = one["words" if method == "occlusion" else "tokens"]
        assert all(part["text"] == text[part["start"] : part["end"]] for part in parts)
        assert re.sub(r"\s", "", "".join(part["text"] for part in parts)) == re.sub(r"\s", "", text)
        assert np.isfinite([part["weight"] for part in parts]).all()


def test_file_page_layers_maps_and_examples(
    run: Path, slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    out, page = tmp_path / "out.jsonl", tmp_path / "out.html"
    command = ["explain", "--ckpt", str(run), "--input", str(tmp_path / "texts.txt"), "--output", str(out), "--page",
               str(page), "--layers", "--maps", "--train", str(slices / "banking77" / "train.csv"), "--label",
               "category", "--examples", "2", "--further-ckpt", str(run / "checkpoints" / "previous.ckpt")]  # fmt: skip
    assert run_command(command) == 0
    found = lines(out.read_text())
    assert [one["where"] for one in found] == [f"{tmp_path}/texts.txt:{n}" for n in (1, 2)]
    for one in found:
        length = len(one["read"])
        assert np.shape(one["layers"]) == (3, length) and np.shape(one["attention"]) == (2, length, length)
        assert len(one["for"]) == len(one["against"]) == 2
        assert one["for"][0]["influence"] >= one["for"][1]["influence"] > one["against"][0]["influence"]
    shown = page.read_text()
    assert "<b>exchange" not in shown, "texts are no HTML"
    plain = re.sub(r"<[^>]*>", "", re.search(r'<p class="said">(.*?)</p>', shown, re.DOTALL)[1])  # type: ignore[index]
    assert plain == TEXTS[0] and shown.count("<figure>") == 4
    assert run_command(command) == 2 and "is there already" in capsys.readouterr().err


def test_bad_input(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, said in (
        ([], "give texts by --text, or files by --input"),
        (["--text", "a", "--steps", "0"], "--steps is 0; it must be at least 1"),
        (["--text", "a", "--further-ckpt", str(run)], "name them by --train"),
        (["--text", "a", "--output", "a.csv"], "--output a.csv: its ending is not .jsonl"),
        (["--text", "a", "--task", "wiki"], "task: no wiki of problem"),
    ):
        assert run_command(["explain", "--ckpt", str(run), *more]) == 2
        assert said in capsys.readouterr().err
