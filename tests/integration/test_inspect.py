"""``data inspect`` as a user types it: the report, the same one twice, and no weights."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.run import CHOSEN
from research.terminal import run_command

ROOT = Path(__file__).parents[2]


def inspect(config: Path, *more: str) -> int:
    os.environ.pop(CHOSEN, None)
    return run_command(["data", "inspect", "--config", str(config), *more])


def test_report_of_a_config(program: Any, slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = program.folder / "tiny.yaml"
    assert inspect(config, "--out", str(tmp_path / "a")) == 0
    printed = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"inspect.md", "lengths.png", "mixture.png"}
    report = (tmp_path / "a" / "inspect.md").read_text(encoding="utf-8")
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    streams = {line.split()[0]: line.split() for line in printed.splitlines() if " classify " in line}
    assert streams["intents"][1:5] == ["classify", str(len(rows)), "0", "50"]
    assert "in 25 steps" in printed and "![Mixture](mixture.png)" in report
    assert printed.count("batch 4: ") == 2 and printed.count("→") >= 10
    fenced = [part for i, part in enumerate(report.split("~~~")) if i % 2]
    assert all(part.removeprefix("text\n").strip() in printed for part in fenced)
    tables = printed.split("Batches of")[0].split("Streams\n")[1]
    assert max(map(len, tables.splitlines())) <= 80
    assert inspect(config, "--out", str(tmp_path / "b")) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_overrides_and_the_place_of_the_report(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs = program.folder / "inspected"
    more = ["--run.folder", str(runs), "--trainer.max_steps", "3", "--data.streams.wiki.init_args.batch_size", "2"]
    assert inspect(program.folder / "tiny.yaml", *more) == 0
    assert [path.name for path in runs.iterdir()] == ["tiny-inspect"], "no run was begun"
    printed = capsys.readouterr().out
    assert "in 3 steps" in printed and "batch 0: 2 rows" in printed


def test_no_weights_are_read(program: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A backbone of which only the tokenizer and the configuration are there can be inspected, and not trained."""
    from research.data.sources import TextFiles
    from research.models import TrainedTokenizer

    folder = tmp_path / "backbone"
    text = ROOT / "tests/data/slices/wikitext.txt"
    TrainedTokenizer(TextFiles(str(text)), vocab_size=600).load().save_pretrained(str(folder))
    settings = {"model_type": "bert", "vocab_size": 600, "hidden_size": 32, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps(settings))
    config = yaml.safe_load((program.folder / "tiny.yaml").read_text())
    config["model"]["student"] = {"backbone": str(folder)}
    path = tmp_path / "exp.yaml"
    path.write_text(yaml.safe_dump(config))
    assert inspect(path, "--out", str(tmp_path / "out")) == 0
    capsys.readouterr()
    assert run_command(["fit", "--config", str(path), "--run.folder", str(tmp_path / "runs")]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--data.streams.wiki.init_args.batch_sizes", "2"], "batch_size"),
        (["--data.streams.wiki.init_args.batch_size", "0"], "batch_size is 0"),
        (["--model.objectives.ce.init_args.stream", "intent"], "no stream is called 'intent'"),
        (["--trainer.max_steps", "-1"], "trainer: set max_steps or max_epochs"),
        (["--out", "/dev/null/report"], "--out /dev/null/report: cannot be written"),
    ],
)
def test_bad_input_is_one_line(more: list[str], told: str, program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs = program.folder / "refused"
    assert inspect(program.folder / "tiny.yaml", "--run.folder", str(runs), *more) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and told in errors[0], errors
    assert not runs.exists()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "inspect", "--help"]) == 0
    assert "--out FOLDER" in capsys.readouterr().out
