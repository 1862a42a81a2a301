"""What of the disk is in a run's key: everything that the config names, each file by its name, and nothing besides."""

import importlib.metadata
from pathlib import Path

import pytest

from research.ablation.design.resolve import content, digests, forget


def source(path: Path) -> dict:
    return {"class_path": "research.data.sources.CSV", "init_args": {"paths": str(path), "text": "t", "label": "l"}}


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


def test_files_that_change_places_change_the_digests(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("t,l\na,0\n")
    other.write_text("t,l\nb,1\n")
    config = {"train": source(one), "test": source(other)}
    before = digests(config)
    assert digests({"test": source(other), "train": source(one)}) == before, "the order of keys says nothing"
    one.write_text("t,l\nb,1\n")
    other.write_text("t,l\na,0\n")
    forget()
    assert digests(config) != before
    assert {*digests(config).values()} == {*before.values()}


def test_a_file_counts_without_a_slash_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("teacher.ckpt").write_text("old")
    Path("news").mkdir()
    Path("news", "a.txt").write_text("text")
    before = content("teacher.ckpt")
    assert before is not None and content("news") is None and content("./news") is not None
    Path("teacher.ckpt").write_text("new")
    forget()
    assert content("teacher.ckpt") not in (before, None)


@pytest.mark.parametrize(
    "word", ["/", "//", "./", "../", "..", "", "and/or " * 100, "~nobody/x", "a\0/b", "https://x.org/y"]
)
def test_words_that_are_no_files(word: str) -> None:
    assert content(word) is None


def test_a_package_that_is_upgraded_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("old")
    files = [importlib.metadata.PackagePath(name) for name in ("config.json", "model.safetensors")]
    for file in files:
        file.dist = importlib.metadata.PathDistribution(tmp_path / "some.dist-info")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: files)
    before = digests({"student": {"backbone": "package:some"}})
    (tmp_path / "model.safetensors").write_text("new")
    forget()
    assert before and digests({"student": {"backbone": "package:some"}}) != before
