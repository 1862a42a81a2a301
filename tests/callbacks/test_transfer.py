"""Two tasks one after another in the real program: the matrix is what validation logged at the hand-overs."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.run import CHOSEN
from research.terminal import run_command

FIGURES = ["validation/first/loss", "validation/second/loss"]  # they change with every step


@pytest.fixture
def config(slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv(CHOSEN, raising=False)
    source = {
        "class_path": "research.data.sources.CSV",
        "init_args": {"paths": str(slices / "banking77" / "train.csv"), "text": "text", "label": "category"},
    }
    task = {"source": source, "batch_size": 8, "max_length": 24, "validation": 0.3, "test": 0.2}
    text = {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": str(slices / "wikitext.txt")}}
    return {
        "seed_everything": 3,
        "model": {
            "student": {
                "architecture": {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1,
                                 "num_attention_heads": 2, "intermediate_size": 48},
                "tokenizer": {"source": text, "vocab_size": 600},
            },
            "objectives": {
                name: {"class_path": "research.objectives.Classification", "init_args": {"stream": name}}
                for name in ("first", "second")
            },
            "optimisation": {"lr": 5.0e-3},
        },
        "data": {
            "streams": {
                name: {"class_path": "research.data.TaskDataModule", "init_args": task} for name in ("first", "second")
            },
            "mixture": {
                "class_path": "research.data.sampling.Sequential",
                "init_args": {
                    "phases": [{"streams": ["first"], "steps": 12}, {"streams": ["second", "first"], "steps": 6}]
                },
            },
        },
        "trainer": {
            "max_steps": 18, "val_check_interval": 6, "check_val_every_n_epoch": None, "num_sanity_val_steps": -1,
            "enable_progress_bar": False, "accelerator": "cpu",
            "callbacks": [{"class_path": "research.callbacks.Transfer", "init_args": {"figures": FIGURES}}],
        },
        "run": {"wandb": "disabled", "folder": str(tmp_path / "runs"), "name": "two", "checkpoint_every": 100},
    }  # fmt: skip


def run(config: dict[str, Any], folder: Path, command: str, *more: str) -> int:
    (folder / "two.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return run_command([command, "--config", str(folder / "two.yaml"), *more])


def logged(folder: Path) -> dict[int, list[float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return {
            int(row["step"]): [float(row[name]) for name in FIGURES] for row in csv.DictReader(file) if row[FIGURES[0]]
        }


def test_matrix_of_hand_overs(config: dict[str, Any], tmp_path: Path) -> None:
    assert run(config, tmp_path, "fit") == 0
    folder = tmp_path / "runs" / "two"
    rows = logged(folder)
    assert list(rows) == [0, 6, 12, 18]
    kept = json.loads((folder / "transfer.json").read_text())
    assert kept == {"figures": FIGURES, "after_phase": {"0": rows[0], "1": rows[12], "2": rows[18]}}
    assert run(config, tmp_path, "test", "--ckpt_path", "last") == 0
    figures = json.loads((folder / "test.json").read_text())
    assert rows[0] != rows[12] != rows[18]
    expected = {
        "final": sum(rows[18]) / 2,
        "backward": rows[18][0] - rows[12][0],
        "forgetting": rows[12][0] - rows[18][0],
        "forward": rows[12][1] - rows[0][1],
    }
    assert {n: figures[f"test/transfer/{n}"] for n in expected} == pytest.approx(expected)


def test_a_stopped_run_keeps_its_rows(config: dict[str, Any], tmp_path: Path) -> None:
    config["model"]["optimisation"]["schedule"] = {
        "class_path": "research.schedules.Constant",
        "init_args": {"warmup": 0},
    }
    assert run(config, tmp_path, "fit") == 0
    whole = (tmp_path / "runs" / "two" / "transfer.json").read_text()
    assert run(config, tmp_path, "fit", "--trainer.max_steps", "13", "--run.name", "half") == 0
    last = str(tmp_path / "runs" / "half" / "checkpoints" / "last.ckpt")
    assert run(config, tmp_path, "test", "--ckpt_path", last, "--run.name", "half") == 2, "a phase is missing"
    assert run(config, tmp_path, "fit", "--ckpt_path", last, "--run.name", "half") == 0
    assert (tmp_path / "runs" / "half" / "transfer.json").read_text() == whole


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("--trainer.val_check_interval", "5", "a val_check_interval that divides the ends of the phases, 12, 18"),
        ("--data.mixture", "{class_path: research.data.Joint}", "needs data.mixture research.data.sampling.Sequential"),
    ],
)
def test_refused(
    config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, told: str
) -> None:
    config["trainer"]["num_sanity_val_steps"] = 0
    assert run(config, tmp_path, "fit", key, value) == 2
    assert told in capsys.readouterr().err


def test_unknown_figure(config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config["trainer"]["callbacks"][0]["init_args"]["figures"] = [FIGURES[0], "validation/third/accuracy"]
    assert run(config, tmp_path, "fit") == 2
    assert "no figure validation/third/accuracy; there are validation/first/" in capsys.readouterr().err
