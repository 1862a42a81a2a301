import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from research.data.sources import JSONLines
from research.terminal import run_command

ROOT = Path(__file__).parents[3]
LOCAL = {"class_path": "datatrove.executor.LocalPipelineExecutor", "init_args": {"workers": 1}}
QUESTION = "I think my card was stolen, what can I do so that nobody uses it while I wait?"
Prepare = Callable[..., int]


def json_lines(*paths: Path) -> dict[str, Any]:
    return {"class_path": "research.data.sources.JSONLines", "init_args": {"paths": [str(path) for path in paths]}}


def write_lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def texts_of(folder: Path) -> list[str]:
    """What our own source reads back."""
    return [record["text"] for record in JSONLines(str(folder))]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def paragraphs(slices: Path) -> list[str]:
    lines = (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if len(line.split()) > 90]


@pytest.fixture(scope="module")
def planted(paragraphs: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Settings of a run over three files, after it; into them three duplicates, a test text and a blank are planted."""
    folder = tmp_path_factory.mktemp("planted")
    near = " ".join([*paragraphs[1].split()[:-1], "otherwise"])
    tests = folder / "tests.csv"
    tests.write_text(f'text\n"{QUESTION}"\n')
    a = write_lines(folder / "a.jsonl", [paragraphs[0], *paragraphs[:4]])
    b = write_lines(folder / "b.jsonl", [near, paragraphs[4] + f" {QUESTION} " + paragraphs[5], " \n"])
    c = write_lines(folder / "c.jsonl", [f"Write to jane@example.com. {paragraphs[6]}", paragraphs[0], paragraphs[7]])
    test_source = {"class_path": "research.data.sources.CSV", "init_args": {"paths": str(tests), "text": "text"}}
    settings = {
        "folder": str(folder / "out"),
        "sources": {"wiki": json_lines(a, b), "more": json_lines(c)},
        "steps": [
            {"class_path": "research.data.prepare.steps.Language", "init_args": {"languages": ["en"]}},
            {"class_path": "research.data.prepare.steps.Decontamination",
             "init_args": {"tests": {"mine": test_source}}},
            {"class_path": "research.data.prepare.steps.PersonalData"},
        ],
        "near_duplicates": {"buckets": 8, "hashes": 4},
        "tasks": 2,
        "executor": LOCAL,
    }  # fmt: skip
    (folder / "prepare.yaml").write_text(yaml.safe_dump(settings))
    assert run_command(["data", "prepare", "--config", str(folder / "prepare.yaml")]) == 0
    return settings, folder / "out"


def test_corpus_is_clean_and_without_duplicates(planted: tuple[dict[str, Any], Path], paragraphs: list[str]) -> None:
    kept = texts_of(planted[1] / "data")
    assert len(kept) == 6
    certain = {paragraphs[0], paragraphs[2], paragraphs[3], f"Write to <email>. {paragraphs[6]}", paragraphs[7]}
    assert certain < set(kept)
    (one_of_two,) = set(kept) - certain
    assert one_of_two.split()[:-1] == paragraphs[1].split()[:-1]
    assert not (planted[1] / "work").exists()


def test_report_adds_up(planted: tuple[dict[str, Any], Path]) -> None:
    report = json.loads((planted[1] / "report.json").read_text())
    assert (report["read"], report["blank"], report["kept"]) == (10, 1, 6)
    assert report["read from"] == {"wiki": 7, "more": 3}
    assert report["masked"] == {"email": 1}
    dropped = {row["step"]: row["dropped"] for row in report["steps"]}
    assert dropped == {
        "1-Language": 0,
        "2-Decontamination": 1,
        "4-Blank": 0,
        "exact-duplicates": 2,
        "near-duplicates": 1,
    }
    documents = report["read"]
    for row in report["steps"]:
        assert (row["read"], row["read"] - row["dropped"]) == (documents, row["kept"])
        documents = row["kept"]
        assert sum(row["reasons"].values()) in (0, row["dropped"])
        files = planted[1] / "dropped" / row["step"]
        assert len(texts_of(files) if row["dropped"] else []) == row["dropped"]
    assert documents == report["kept"] == len(texts_of(planted[1] / "data"))
    contaminated = report["steps"][1]
    assert contaminated["reasons"] == {"mine": 1}
    assert contaminated["examples"][0]["id"].endswith("b.jsonl:2")
    told = (planted[1] / "report.md").read_text()
    assert max(map(len, told.split("```")[1].splitlines())) <= 80
    assert re.search(r"2-Decontamination +10 +1 +9 +10\.0\n", told)
    assert re.search(r"all +10 +4 +6 +40\.0\n", told)


def test_the_same_run_again_costs_nothing(
    planted: tuple[dict[str, Any], Path], prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in planted[1].rglob("*") if path.is_file()}

    before = times()
    assert prepare(planted[0]) == 0
    assert times() == before
    assert "near-duplicates" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"steps": []}, "holds a run with other steps; name another folder, or remove this one"),
        ({"tasks": 3, "near_duplicates": None}, "holds a run with other near_duplicates, tasks; name another"),
        ({"sources": {}}, "sources: there is none; name at least one"),
        ({"tasks": 0}, "tasks is 0; it must be at least 1"),
        ({"sources": {"wiki": json_lines(Path("nowhere.jsonl"))}}, "paths: nowhere.jsonl: no such file"),
        ({"steps": [{"class_path": "research.data.prepare.steps.Langage"}]}, "has no Langage; did you mean Language?"),
        ({"steps": [{"class_path": "research.data.prepare.steps.Language", "init_args": {"languages": []}}]},
         "languages: the list is empty"),
        ({"steps": [{"class_path": "research.data.prepare.steps.Repetition", "init_args": {"language": "xx-yy"}}]},
         "steps[0].language: datatrove has no word tokenizer for 'xx-yy'"),
        ({"near_duplicates": {"buckets": 0}}, "near_duplicates.buckets is 0; it must be at least 1"),
        ({"task": 2}, "task: not accepted; did you mean tasks?"),
    ],
)  # fmt: skip
def test_refused_in_one_line(
    planted: tuple[dict[str, Any], Path], prepare: Prepare, capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any], told: str,
) -> None:  # fmt: skip
    before = contents(planted[1])
    assert prepare({**planted[0], **changed}) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error
    assert contents(planted[1]) == before


def test_changed_source_and_foreign_folder_are_refused(
    paragraphs: list[str], prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "a.jsonl", paragraphs[:2])
    settings = {"folder": str(tmp_path / "out"), "sources": {"a": json_lines(path)}, "near_duplicates": None}
    assert prepare({**settings, "executor": LOCAL}) == 0
    write_lines(path, paragraphs[:3])
    assert prepare({**settings, "executor": LOCAL}) == 2
    assert "holds a run with other sources.a; name another folder" in capsys.readouterr().err
    assert prepare({**settings, "executor": LOCAL, "folder": str(tmp_path)}) == 2
    assert "is not empty, and no folder of an earlier run" in capsys.readouterr().err
    assert not (tmp_path / ".lock").exists()


@pytest.fixture(scope="module")
def large(comments: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Settings of a run over four files of real comments, without what would need spaCy, and the corpus it makes."""
    folder = tmp_path_factory.mktemp("large")
    files = [write_lines(folder / f"{i}.jsonl", comments[150 * i : 150 * (i + 1)] + comments[:5]) for i in range(4)]
    steps = [{"class_path": "research.data.prepare.steps.PersonalData"}]
    settings = {"sources": {"reddit": json_lines(*files)}, "steps": steps, "near_duplicates": None, "tasks": 4}
    (folder / "prepare.yaml").write_text(yaml.safe_dump({**settings, "executor": LOCAL, "folder": str(folder / "out")}))
    assert run_command(["data", "prepare", "--config", str(folder / "prepare.yaml")]) == 0
    return settings, folder / "out"


def test_killed_run_goes_on_to_the_same_corpus(
    large: tuple[dict[str, Any], Path], prepare: Prepare, tmp_path: Path
) -> None:
    settings, whole = large
    killed, config = tmp_path / "killed", tmp_path / "killed.yaml"
    config.write_text(yaml.safe_dump({**settings, "executor": LOCAL, "folder": str(killed)}))
    line = [sys.executable, "-m", "research.cli", "data", "prepare", "--config", str(config)]
    process = subprocess.Popen(line, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    first = killed / "logs" / "exact-signatures" / "completions" / "00000"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.002)
    others = psutil.Process(process.pid).children(recursive=True)  # of datatrove, which outlive it
    process.kill()
    process.wait()
    for other in others:
        with suppress(psutil.NoSuchProcess):
            other.kill()
    assert not (killed / "data").exists() and not (killed / "report.json").exists()
    done = first.stat().st_mtime_ns
    assert prepare({**settings, "executor": LOCAL, "folder": str(killed)}) == 0
    assert first.stat().st_mtime_ns == done
    for part in ("data", "dropped"):
        assert contents(killed / part) == contents(whole / part)
    assert json.loads((killed / "report.json").read_text()) == json.loads((whole / "report.json").read_text())


def test_worker_processes_give_the_same_corpus(
    large: tuple[dict[str, Any], Path], prepare: Prepare, tmp_path: Path
) -> None:
    settings = {"workers": 2, "start_method": "fork"}  # the default method would import everything in every worker
    two = {"class_path": "datatrove.executor.LocalPipelineExecutor", "init_args": settings}
    assert prepare({**large[0], "executor": two, "folder": str(tmp_path / "two")}) == 0
    assert contents(tmp_path / "two" / "data") == contents(large[1] / "data")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a disk that fills up while it is written."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_full_disk_leaves_nothing_that_looks_whole(
    large: tuple[dict[str, Any], Path], prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**large[0], "executor": LOCAL, "folder": str(tmp_path / "out")}
    with largest_file(9_000):
        assert prepare(settings) == 2
    told = f"error: folder: {tmp_path / 'out'}: File too large; make room, and the same command goes on"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "data").exists() and not (tmp_path / "out" / "report.json").exists()
    assert prepare(settings) == 0
    assert contents(tmp_path / "out" / "data") == contents(large[1] / "data")


def test_nothing_kept(paragraphs: list[str], prepare: Prepare, tmp_path: Path, capsys: Any) -> None:
    path = write_lines(tmp_path / "a.jsonl", paragraphs[:2])
    steps = [{"class_path": "research.data.prepare.steps.Language", "init_args": {"languages": ["zh"]}}]
    settings = {"folder": str(tmp_path / "out"), "sources": {"a": json_lines(path)}, "steps": steps}
    assert prepare({**settings, "near_duplicates": None, "executor": LOCAL}) == 2
    assert "no document was kept; report.md says which step dropped them" in capsys.readouterr().err
    assert "Dropped by 1-Language" in (tmp_path / "out" / "report.md").read_text()


def test_help_is_quick_and_names_every_setting() -> None:
    """What trains a model takes seconds to import, and nothing here trains one."""
    code = """
import sys
from research.cli import main
try:
    main()
finally:
    assert not {"torch", "lightning", "transformers", "spacy"} & set(sys.modules)
"""
    line = [sys.executable, "-c", code, "data", "prepare", "--help"]
    told = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("folder", "sources", "steps", "exact_duplicates", "near_duplicates", "tasks", "executor"):
        assert f"--{name}" in told


def test_unknown_command_about_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "clean"]) == 2
    assert capsys.readouterr().err == "error: data: no command 'clean'; there is prepare and inspect\n"
