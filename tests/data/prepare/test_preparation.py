from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from research.data.prepare.folder import Folder
from research.data.prepare.preparation import Preparation

ROOT = Path(__file__).parents[3]


def test_shipped_config(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes and settings exist, and so do its files."""
    (tmp_path / "data").symlink_to(shared)
    monkeypatch.chdir(tmp_path)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Preparation)
    made = parser.instantiate(parser.parse_args(["--config", str(ROOT / "configs/data/prepare.yaml")])).as_dict()
    made.pop("config")
    preparation = Preparation(**made)
    stages = {stage.name: stage for stage in preparation.stages(Folder(tmp_path / "out"))}
    assert list(stages) == [
        "exact-signatures",
        "exact-pairs",
        "near-signatures",
        "near-pairs",
        "near-clusters",
        "data",
    ]
    assert stages["exact-signatures"].labels == [
        "Read",
        "PersonalData",
        "2-Language",
        "3-GopherQualityFilter",
        "4-C4QualityFilter",
        "5-Repetition",
        "6-Decontamination",
        "7-Blank",
        "Write",
        "ExactDedupSignature",
    ]
    assert [stage.tasks for stage in stages.values()] == [5, 5, 5, 14, 1, 5]
    assert not (tmp_path / "out").exists()
    for step in preparation.steps:
        if hasattr(step, "fingerprint"):
            step.fingerprint()  # raises if a test file is missing


def test_without_duplicates_to_drop_there_is_one_stage(slices: Path, tmp_path: Path) -> None:
    from research.data.sources import TextFiles

    source = TextFiles(str(slices / "wikitext.txt"))
    preparation = Preparation("out", {"a": source}, exact_duplicates=False, near_duplicates=None)
    (stage,) = preparation.stages(Folder(tmp_path))
    assert (stage.name, stage.labels) == ("data", ["Read", "1-Blank", "Write"])
