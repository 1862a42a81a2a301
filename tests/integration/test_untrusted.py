"""What comes from elsewhere is data: a pickle given as a checkpoint, as weights or as a cache runs no code."""

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.errors import UserError
from research.inference import load
from research.models.teachers.caching.table import Appender, Table, finish
from research.terminal import run_command

FEW = ["--trainer.max_steps", "1"]
BACKBONE = ["--model.student.architecture", "null", "--model.student.tokenizer", "null", "--model.student.backbone"]


@pytest.fixture(params=["pickle", "torch"])
def write(request: Any, malicious: Any) -> Any:
    """Writes a file that runs code where it is unpickled: a plain pickle, or as torch.save makes it."""

    def write(path: Path) -> Path:
        if request.param == "pickle":
            path.write_bytes(pickle.dumps({"hybrid": malicious, "model": malicious}))
        else:
            torch.save({"hybrid": malicious, "model": malicious}, path)
        return path

    return write


def test_as_a_checkpoint(program: Any, write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "given.ckpt"))
    teacher = "{class_path: research.models.LiveTeacher, init_args: {checkpoint: %s}}" % path  # noqa: UP031
    for command, *more in (
        ["fit", "--ckpt_path", path],
        ["test", "--ckpt_path", path],
        ["fit", "--model.teacher", teacher],
    ):
        assert program(command, "given", *more) == 2
        assert f"{path}: not a readable checkpoint (" in capsys.readouterr().err
    for command in ("export", "consolidate"):
        assert run_command(["checkpoint", command, path, "--output", str(tmp_path / "out")]) == 2
    assert run_command(["average", path, "--output", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_as_weights(program: Any, write: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student, folder = tiny("bert"), tmp_path / "given"
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    write(folder / "pytorch_model.bin")
    assert program("fit", "given", *FEW, *BACKBONE, str(folder)) == 2
    assert f"error: backbone {folder}: its weights are no plain tensors" in capsys.readouterr().err
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert program("fit", "given", *FEW, *BACKBONE, str(folder)) == 2


def test_as_a_checkpoint_of_fairseq(
    program: Any, write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "model.pt")
    (tmp_path / "dict.txt").write_text("a 1\n")
    assert program("fit", "given", *FEW, *BACKBONE, f"fairseq:{path}") == 2
    assert f"{path}: no checkpoint of Fairseq" in capsys.readouterr().err


def test_as_the_cache_of_tokens(program: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file in turn; what is damaged is made anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert program("fit", "cached", *FEW) == 0
    paths = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]
    kinds = {path.suffix: path for path in paths}
    assert {".arrow", ".json"} <= kinds.keys()
    for path in kinds.values():
        write(path)
        assert program("fit", "cached", *FEW) == 0


def test_as_the_cache_of_a_teacher(write: Any, malicious: Any, tmp_path: Path) -> None:
    appender = Appender(tmp_path / "table")
    appender.add(1, {"values": np.ones(3)})
    appender.flush()
    facts: Any = finish(tmp_path / "table")
    table = tmp_path / "table", facts["shards"], facts["index"]
    assert len(Table(*table).keys) == 1
    for name in (facts["index"], *facts["shards"]):
        content = (tmp_path / "table" / name).read_bytes()
        write(tmp_path / "table" / name)
        with pytest.raises(Exception, match="cannot be read"):
            Table(*table)
        (tmp_path / "table" / name).write_bytes(content)
    with (tmp_path / "table" / facts["index"]).open("wb") as file:
        np.save(file, np.array([malicious, malicious], object), allow_pickle=True)
    with pytest.raises(Exception, match="cannot be read"):
        Table(*table)


@pytest.fixture(scope="module")
def checkpoint(program: Any) -> dict[str, Any]:
    """What a run has saved."""
    assert program("fit", "whole", *FEW) == 0
    loaded: dict[str, Any] = torch.load(program.run_folder("whole") / "checkpoints" / "last.ckpt", weights_only=True)
    return loaded


PLACES = [
    "model.student",
    "model.student.tokenizer",
    "model.student.tokenizer.init_args.source",
    "model.student.pooling",
    "model.student.compression.0",
    "model.student.architecture.attention_probs_dropout_prob",
    "model.objectives.ce",
    "model.objectives.ce.init_args.view",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["os.mkdir", "subprocess.Popen", "theirs.Theirs"])
def test_the_config_of_a_checkpoint_makes_no_other_classes(
    checkpoint: Any, name: str, place: str, malicious: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one on the path of Python, whose module is imported to see of what kind it is."""
    (tmp_path / "theirs.py").write_text(
        "import os\n\n\nclass Theirs:\n    def __init__(self, path):\n        os.mkdir(path)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    given = {
        "os.mkdir": {"path": malicious.folder},
        "subprocess.Popen": {"args": ["mkdir", malicious.folder]},
        "theirs.Theirs": {"path": malicious.folder},
    }[name]
    hostile = copy.deepcopy(checkpoint)
    at: Any = hostile["hybrid"]["config"]
    *folders, last = place.split(".")
    for key, after in zip(folders, [*folders[1:], last], strict=True):
        if at.get(key) is None:
            at[key] = [None] if after == "0" else {}
        at = at[key]
    at[int(last) if last == "0" else last] = {"class_path": name, "init_args": given}
    torch.save(hostile, tmp_path / "hostile.ckpt")
    with pytest.raises(UserError, match=r"hostile\.ckpt: this version has another model\."):
        load(tmp_path / "hostile.ckpt")


def test_the_pickles_of_these_tests_do_run_code(malicious: Any, tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(malicious))
    os.rmdir(malicious.folder)
