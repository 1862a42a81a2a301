"""A config that ``init`` wrote trains, tests and answers, with a small saved model in the place of a published one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.models import Student
from research.terminal import run_command

Saved = Callable[[str], str]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Student]) -> Saved:
    """The folder of a small model of a family."""
    folder = tmp_path_factory.mktemp("saved")

    def save(family: str) -> str:
        path = folder / family
        if not path.exists():
            student = tiny(family)
            student.model.float().save_pretrained(path)
            student.tokenizer.save_pretrained(path)
        return str(path)

    return save


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYBRID_RUN", raising=False)


def init(*arguments: str) -> dict[str, Any]:
    assert run_command(["init", *arguments]) == 0
    config: dict[str, Any] = yaml.safe_load(Path("exp.yaml").read_text(encoding="utf-8"))
    return config


def head(source: Path, to: Path, rows: int) -> str:
    to.write_text("".join(source.open(encoding="utf-8").readlines()[:rows]), encoding="utf-8")
    return str(to)


def trains_and_answers(tmp_path: Path, text: str, *columns: str) -> list[dict[str, Any]]:
    few = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "1", "--trainer.limit_val_batches", "1"]
    assert run_command(["fit", "--config", "exp.yaml", *few, "--run.wandb", "disabled"]) == 0
    questions = tmp_path / "questions.jsonl"
    questions.write_text(text, encoding="utf-8")
    line = ["predict", "--ckpt", "runs/exp", "--input", str(questions), "--output", "answers.jsonl", *columns]
    assert run_command(line) == 0
    return [json.loads(line) for line in Path("answers.jsonl").read_text(encoding="utf-8").splitlines()]


def test_sentiment_with_texts_beside(
    shared: Path, tmp_path: Path, saved: Saved, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "texts"
    corpus.mkdir()
    head(shared / "wikitext2" / "test.txt", corpus / "wiki.txt", 100)
    task = head(shared / "sst2" / "train.tsv", tmp_path / "reviews.tsv", 60)
    config = init("--task", task, "--corpus", str(corpus), "--backbone", saved("bert"), "--price", "2")
    told = capsys.readouterr().out
    lines = told.partition("\n\n")[0].splitlines()
    assert len(lines) > 8 and all(len(line) <= 80 or len(line.split()) == 1 for line in lines)
    assert "classify: 60 rows, 2 labels" in told and "cost" in told and "experiments/which_objectives" in told
    assert config["model"]["weighting"]["init_args"]["weights"] == {"ce": 1.0, "scl": 0.5, "mlm": 0.3}
    (answer,) = trains_and_answers(tmp_path, '{"text": "a fine film"}\n')
    assert answer["label"] in ("0", "1")


@pytest.mark.slow
def test_seventy_seven_intents(shared: Path, tmp_path: Path, saved: Saved) -> None:
    for split in ("train", "test"):
        shutil.copy(shared / "banking77" / f"{split}.csv", tmp_path)
    config = init("--task", "train.csv", "--backbone", saved("bert"))
    stream = config["data"]["streams"]["task"]["init_args"]
    assert stream["test"]["init_args"]["paths"] == "test.csv" and stream["validation"] == 0.1
    assert list(config["model"]["objectives"]) == ["ce"]
    (answer,) = trains_and_answers(tmp_path, '{"text": "where is my card"}\n')
    assert len(answer["probabilities"]) == 77


@pytest.mark.slow
def test_scores_of_pairs(shared: Path, tmp_path: Path, saved: Saved) -> None:
    init("--task", head(shared / "stsb" / "sts-dev.csv", tmp_path / "pairs.csv", 300), "--backbone", saved("bert"))
    (answer,) = trains_and_answers(tmp_path, '{"text": "a man", "other": "a dog"}\n', "--text-pair", "other")
    assert isinstance(answer["value"], float)


@pytest.mark.slow
def test_chinese_with_a_decoder(shared: Path, tmp_path: Path, saved: Saved) -> None:
    task = head(shared / "waimai" / "waimai_10k.csv", tmp_path / "a.csv", 5000)  # the first 4,000 are all good
    init("--task", task, "--backbone", saved("gpt2"))
    (answer,) = trains_and_answers(tmp_path, '{"text": "很快，好吃"}\n')
    assert answer["label"] in ("0", "1")


def test_generation(shared: Path, tmp_path: Path, saved: Saved, capsys: pytest.CaptureFixture[str]) -> None:
    task = head(shared / "e2e" / "devset.csv", tmp_path / "a.csv", 200)
    assert run_command(["init", "--task", task, "--backbone", saved("bert")]) == 2
    assert "an encoder writes no texts" in capsys.readouterr().err and not Path("exp.yaml").exists()
    init("--task", task, "--backbone", saved("t5"))
    (answer,) = trains_and_answers(tmp_path, '{"text": "name[Alimentum], area[city centre]"}\n')
    assert isinstance(answer["text"], str)


@pytest.mark.slow
def test_texts_alone(shared: Path, tmp_path: Path, saved: Saved) -> None:
    config = init("--corpus", str(shared / "wikitext2" / "v*.txt"), "--backbone", saved("bert"))
    assert list(config["model"]["objectives"]) == ["mlm"]
    (answer,) = trains_and_answers(tmp_path, '{"text": "a fine film"}\n', "--embed")
    assert len(answer["embedding"]) == 32


def test_nothing_is_overwritten_or_half_written(
    shared: Path, tmp_path: Path, saved: Saved, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        assert run_command(["init", *arguments]) == 2
        return capsys.readouterr().err

    task = str(shared / "sst2" / "dev.tsv")
    Path("exp.yaml").write_text("mine")
    assert (
        refused("--task", task)
        == "error: exp.yaml: is there already; name another --output, or give --force to replace it\n"
    )
    assert Path("exp.yaml").read_text() == "mine"
    for option in ("--task", "--corpus"):
        told = f"error: {option} none.csv: no such file"
        assert refused(option, "none.csv", "--output", "other.yaml").startswith(told)
    assert init("--task", task, "--backbone", saved("bert"), "--force")["trainer"]["max_steps"] > 150
    assert "name a file of labelled rows" in refused()
    assert "no such folder" in refused("--task", task, "--backbone", "./none", "--output", "other.yaml")
    assert "no .txt file below this folder" in refused("--corpus", str(shared / "sst2"), "--output", "other.yaml")
    Path("file").write_text("")
    assert "cannot be written" in refused("--task", task, "--backbone", saved("bert"), "--output", "file/other.yaml")
    assert not Path("other.yaml").exists()
