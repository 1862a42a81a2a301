"""The four files come from ``results.jsonl`` alone, the same each time, and all of them or none."""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from research.ablation.reporting.report import rebuild, write
from research.ablation.results import Results
from research.errors import UserError

FILES = ["results.csv", "results.html", "results.md", "results.tex"]


@pytest.fixture
def results(results_of: Callable[..., Results]) -> Results:
    arms = {
        (arm,): [{"test/ce/accuracy": value + value * seed / 10} for seed in range(3)]
        for arm, value in (("a", 0.5), ("b", 0.6))
    }
    return results_of({"arm": ["a", "b"]}, arms, baseline={"arm": "a"})


def test_the_files_are_the_same_each_time(results: Results, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results.write(tmp_path / "results.jsonl")
    rebuild(tmp_path)
    assert capsys.readouterr().out.startswith(f"written to {tmp_path}/: results.md")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == sorted([*FILES, "results.jsonl"])
    rebuild(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_links_lead_to_the_runs_from_wherever_the_report_is_made(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "experiments" / "question"
    results.write(folder / "results.jsonl")
    monkeypatch.chdir(tmp_path)
    rebuild(Path("experiments/question"))
    texts = [(folder / name).read_text() for name in FILES]
    assert "[0](../../runs/ablations/question/0000)" in texts[FILES.index("results.md")]
    monkeypatch.chdir(folder)
    rebuild(Path())
    assert [(folder / name).read_text() for name in FILES] == texts


def test_a_full_disk_leaves_the_old_files(results: Results, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match="cannot be written"):
            write(results, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "old")


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results.jsonl: no such file"):
        rebuild(tmp_path)


def test_a_missing_library_is_named(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("statsmodels", "statsmodels.stats.power"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"hybrid-fine-tuning\[ablation\]'; then ablate --report"):
        write(results, tmp_path)
    assert not list(tmp_path.iterdir())
