"""A run whose teacher has another vocabulary than its student, as a user sets it up."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.data.sources import TextFiles
from research.models import Student, TrainedTokenizer
from research.run import CHOSEN
from research.terminal import run_command

TINY = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}


@pytest.fixture
def config(slices: Path, tmp_path: Path) -> dict[str, Any]:
    """Student and teacher are GPT-2 with vocabularies of 600 and 400; the teacher is a folder."""
    text = str(slices / "wikitext.txt")
    tokenizer = TrainedTokenizer(TextFiles(text), vocab_size=400, kind="bpe")
    teacher = Student(architecture={"model_type": "gpt2", **TINY}, tokenizer=tokenizer)
    teacher.build()
    teacher.model.save_pretrained(tmp_path / "teacher")  # type: ignore[union-attr, operator]
    teacher.tokenizer.save_pretrained(tmp_path / "teacher")
    source = {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": text}}
    next_token = {"class_path": "research.data.masking.NextToken"}
    corpus = {"source": source, "batch_size": 4, "max_length": 32, "pack": "best_fit"}
    return {
        "model": {
            "student": {
                "architecture": {"model_type": "gpt2", **TINY},
                "tokenizer": {"source": source, "vocab_size": 600, "kind": "bpe"},
            },
            "teacher": {
                "class_path": "research.models.AlignedTeacher",
                "init_args": {"backbone": str(tmp_path / "teacher")},
            },
            "objectives": {
                "gold": {"class_path": "research.objectives.GOLD", "init_args": {"stream": "wiki"}},
                "uld": {"class_path": "research.objectives.ULD", "init_args": {"stream": "wiki"}},
                "kd": {
                    "class_path": "research.objectives.Distillation",
                    "init_args": {"stream": "wiki", "tokens": next_token},
                },
            },
            "optimisation": {"lr": 3e-3},
        },
        "data": {"streams": {"wiki": {"class_path": "research.data.CorpusDataModule", "init_args": corpus}}},
        "trainer": {"max_steps": 12, "enable_progress_bar": False, "accelerator": "cpu"},
        "run": {"folder": str(tmp_path / "runs"), "wandb": "disabled"},
    }


def fit(config: dict[str, Any], folder: Path) -> int:
    os.environ.pop(CHOSEN, None)
    (folder / "other.yaml").write_text(yaml.safe_dump(config))
    return run_command(["fit", "--config", str(folder / "other.yaml")])


def test_losses_fall(config: dict[str, Any], tmp_path: Path) -> None:
    assert fit(config, tmp_path) == 0
    with (tmp_path / "runs" / "other" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss/gold"]]
    assert len(rows) == 12
    assert all(float(row[f"loss/{name}"]) > 0 for row in rows for name in ("gold", "kd"))
    assert float(rows[-1]["loss/uld"]) < 0.8 * float(rows[0]["loss/uld"])


def test_a_live_teacher_is_refused_in_one_line(config: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    config["model"]["teacher"]["class_path"] = "research.models.LiveTeacher"
    for objective in ("gold", "uld"):
        del config["model"]["objectives"][objective]
    assert fit(config, tmp_path) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: model.teacher: its tokenizer differs") and "research.models.AlignedTeacher" in told
    assert told.count("\n") == 1
