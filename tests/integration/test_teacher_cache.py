"""``teacher cache`` as a user types it: then a run needs no teacher, and has the losses of one with a live teacher."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from research.data.sources import TextFiles
from research.models import Student, TrainedTokenizer
from research.models.teachers.caching.manifest import Manifest
from research.models.teachers.caching.table import Table
from research.run import CHOSEN
from research.terminal import run_command

MASKED = {"class_path": "research.data.masking.Masked"}
CACHED = ["--model.teacher", "research.models.CachedTeacher", "--model.teacher.init_args.path"]


def distillation(**given: Any) -> dict[str, Any]:
    return {"class_path": "research.objectives.Distillation", "init_args": {"stream": "wiki", **given}}


@pytest.fixture(scope="module")
def distilled(program: Any, tmp_path_factory: pytest.TempPathFactory, slices: Path) -> Any:
    """The tiny run with a live teacher, and what a user of the cache has besides: ``cache(path, *more)``."""
    folder = tmp_path_factory.mktemp("distilled")
    config = yaml.safe_load((program.folder / "tiny.yaml").read_text())
    source = TextFiles(str(slices / "wikitext.txt"))
    torch.manual_seed(1)
    teacher = Student(
        architecture=config["model"]["student"]["architecture"], tokenizer=TrainedTokenizer(source, vocab_size=600)
    )
    teacher.build()
    for parameter in teacher.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    teacher.model.save_pretrained(folder / "teacher")
    teacher.tokenizer.save_pretrained(folder / "teacher")
    model = config["model"]
    model["teacher"] = {"class_path": "research.models.LiveTeacher", "init_args": {"backbone": str(folder / "teacher")}}
    model["objectives"] |= {
        "kd": distillation(task="intents", temperature=1.5),
        "tokens": distillation(tokens=MASKED, temperature=2.0),
    }
    config["trainer"] |= {"max_steps": 20, "val_check_interval": 10, "limit_val_batches": 4}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return type(program)(folder)


@pytest.fixture(scope="module")
def cache(distilled: Any) -> Callable[..., int]:
    def cache(path: Path, *more: str) -> int:
        os.environ.pop(CHOSEN, None)
        arguments = distilled.arguments("fit", "unused", *more)[1:]
        return run_command(["teacher", "cache", *arguments, "--path", str(path)])

    return cache


@pytest.fixture(scope="module")
def whole(cache: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the whole run, not to be written to."""
    path = tmp_path_factory.mktemp("whole") / "cache"
    assert cache(path) == 0
    return path


def losses(program: Any, name: str) -> dict[tuple[str, str], float]:
    return {(row["step"], k): float(v) for row in program.log(name) for k, v in row.items() if "loss" in k and v}


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix != ".lock"}


def rows_of(folder: Path) -> dict[str, dict[int, list[Any]]]:
    """All cells of a cache, by table and key."""
    out: dict[str, dict[int, list[Any]]] = {}
    for name, described in Manifest(folder).tables.items():
        table = Table(folder / name, described["shards"], described["index"])
        columns = table.read(np.arange(len(table.keys)))
        rows = zip(*columns.values(), strict=True)
        out[name] = {int(key): [cell.tolist() for cell in row] for key, row in zip(table.keys, rows, strict=True)}
    return out


def test_a_run_from_a_cache_has_the_losses_of_a_live_one(
    distilled: Any, cache: Any, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not distilled.run_folder("unused").exists(), "no run was begun"
    before = snapshot(whole)
    capsys.readouterr()
    assert cache(whole) == 0 and snapshot(whole) == before, "the same command again has nothing to do"
    captured = capsys.readouterr()
    assert "rows of features" in captured.out and "rows of classes-intents-" in captured.out
    assert "new rows" not in captured.err

    assert distilled("fit", "live") == 0
    weights = distilled.folder / "teacher" / "model.safetensors"
    aside = weights.rename(distilled.folder / "aside")
    try:
        assert distilled("fit", "cached", *CACHED, str(whole)) == 0, "the teacher's weights are not needed"
    finally:
        aside.rename(weights)
    live, cached = losses(distilled, "live"), losses(distilled, "cached")
    assert live.keys() == cached.keys() and ("20", "loss/tokens") in live and ("10", "validation/kd/loss") in live
    assert max(abs(live[key] - cached[key]) for key in live) < 1e-3
    assert min(live[key] for key in live if key[1] == "loss/tokens") > 5e-3, "or any teacher would do"


def test_what_the_cache_was_not_written_for_is_told(
    distilled: Any, cache: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cache"
    assert cache(path, "--k", "64", "--trainer.max_steps", "4") == 0
    assert {name.split("-")[0] for name in Manifest(path).tables} == {"tokens", "classes"}
    first = rows_of(path)
    capsys.readouterr()

    def refused(*more: str) -> str:
        assert distilled("fit", "refused", *CACHED, str(path), *more) == 2
        error = capsys.readouterr().err
        return error[error.index("error:") :]

    told = refused()  # of 20 steps
    assert "data.streams.wiki" in told and "python -m research.cli teacher cache --config" in told
    assert told.count("\n") == 1
    assert "has no 'tokens-3.0'" in refused("--model.objectives.tokens.init_args.temperature", "3.0")
    assert "data.streams.wiki: the cache" in refused("--data.streams.intents.init_args.shots", "2")
    assert cache(path) == 2 and "another k (64, not None)" in capsys.readouterr().err
    assert cache(path, "--k", "600") == 2 and "--k is 600; it must be at least 1 and" in capsys.readouterr().err
    assert cache(path, "--k", "64", "--data.mixture", "research.data.sampling.LossDriven") == 2
    assert "goes by the losses of training" in capsys.readouterr().err

    assert cache(path, "--k", "64", "--trainer.max_steps", "8") == 0
    for name, rows in rows_of(path).items():
        assert first[name].items() <= rows.items() and len(rows) > len(first[name]), "a longer run adds rows"


def test_one_config_for_both_commands(distilled: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((distilled.folder / "tiny.yaml").read_text())
    teacher, path = config["model"]["teacher"], tmp_path / "cache"
    config["model"]["teacher"] = {
        "class_path": "research.models.CachedTeacher",
        "init_args": {"path": str(path), "teacher": teacher},
    }
    config["trainer"]["max_steps"] = 3
    both = type(distilled)(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    assert both("fit", "early") == 2
    told = capsys.readouterr().err
    assert "is not there; write it: python -m research.cli teacher cache" in told
    assert not both.run_folder("early").exists()
    assert run_command(["teacher", "cache", *both.arguments("fit", "unused")[1:]]) == 0
    assert both("fit", "then") == 0
    more = ["--model.teacher.init_args.teacher.init_args.probe_c", "0.1"]
    assert both("fit", "other", *more) == 2
    assert "is of another teacher than init_args.teacher" in capsys.readouterr().err
    os.environ.pop(CHOSEN, None)
    assert run_command(["teacher", "cache", *both.arguments("fit", "unused", *more)[1:]]) == 2
    assert "is a cache with another teacher" in capsys.readouterr().err


def test_views_that_the_teacher_alone_reads(distilled: Any, tmp_path: Path) -> None:
    """It guesses the class of the clean text, of which the student sees the augmented one."""
    config = yaml.safe_load((distilled.folder / "tiny.yaml").read_text())
    strong = {"class_path": "research.data.augment.TokenCutoff", "init_args": {"rate": 0.3}}
    settings = {"stream": "wiki", "task": "intents", "strong": strong, "from_teacher": True}
    guess = {"class_path": "research.objectives.FixMatch", "init_args": settings}
    config["model"]["objectives"] = {"ce": config["model"]["objectives"]["ce"], "guess": guess}
    config["model"].pop("weighting")
    config["trainer"] |= {"max_steps": 2, "limit_val_batches": 0}
    guessing = type(distilled)(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    path = tmp_path / "cache"
    os.environ.pop(CHOSEN, None)
    assert run_command(["teacher", "cache", *guessing.arguments("fit", "unused")[1:], "--path", str(path)]) == 0
    assert guessing("fit", "cached", *CACHED, str(path)) == 0


IMPATIENT = """
import sys
from research.models.teachers.caching import writer
from research.terminal import run_command
writer.SECONDS = 0.0  # a shard a batch
sys.exit(run_command(sys.argv[1:]))
"""


def test_killed_and_begun_again(
    distilled: Any, cache: Any, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "killed"
    arguments = ["teacher", "cache", *distilled.arguments("fit", "unused")[1:], "--path", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *arguments],
        env=distilled.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 300
    while len(list(path.glob("features/*.arrow"))) < 4:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()
    done = snapshot(path / "features")
    assert not Manifest(path).runs, "the kill came too late to show anything"
    assert distilled("fit", "unfinished", *CACHED, str(path)) == 2
    assert "is not finished; write it" in capsys.readouterr().err
    assert cache(path) == 0
    shards = {file: time for file, time in done.items() if file.suffix == ".arrow"}
    assert shards.items() <= snapshot(path / "features").items(), "what was written is kept"
    mine, theirs = rows_of(path), rows_of(whole)
    assert mine.keys() == theirs.keys()
    for name, rows in theirs.items():
        assert mine[name].keys() == rows.keys()
        for key, cells in rows.items():
            for a, b in zip(mine[name][key], cells, strict=True):
                np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-3)


@pytest.mark.slow  # six processes
def test_two_processes_write_and_read(distilled: Any, tmp_path: Path) -> None:
    """Each writes the answers to its own batches; then their losses are those of two that have a live teacher."""
    path, two = tmp_path / "cache", ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    line = [sys.executable, "-m", "research.cli", "teacher", "cache"]
    line += [*distilled.arguments("fit", "unused", *two)[1:], "--path", str(path)]
    written = subprocess.run(line, env=distilled.environment(), text=True, capture_output=True, timeout=500)
    assert written.returncode == 0, written.stderr
    assert {file.name[:3] for file in path.glob("features/*.arrow")} == {"000", "001"}
    for name, more in {"two-live": [], "two-cached": [*CACHED, str(path)]}.items():
        process = distilled.start("fit", name, *two, *more)
        output = process.communicate(timeout=500)[0]
        assert process.returncode == 0, output
    live, cached = losses(distilled, "two-live"), losses(distilled, "two-cached")
    assert live.keys() == cached.keys()
    assert max(abs(live[key] - cached[key]) for key in live) < 1e-3
