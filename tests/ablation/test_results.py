"""The results file is written whole, and a torn one is refused by its line."""

import resource

import pytest

from research.ablation.results import Results
from research.errors import UserError

HEADER = {"grid": "g.yaml", "axes": {"task": ["trec"]}, "metrics": {"test/ce/accuracy": "max"}, "seeds": [0, 1]}
RUNS = [
    {"arm": {"task": "trec"}, "seed": 0, "status": "done"},
    {"arm": {"task": "trec"}, "seed": 1, "status": "missing"},
]


def test_what_is_written_is_read(tmp_path):
    Results(HEADER, RUNS).write(tmp_path / "deep" / "results.jsonl")
    assert Results.read(tmp_path / "deep" / "results.jsonl") == Results(HEADER, RUNS)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["results.jsonl"]


def test_a_full_disk_is_told_in_one_line_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.jsonl"
    Results(HEADER, RUNS).write(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(UserError, match=r"results.jsonl: cannot be written \(File too large\); make room"):
            Results(HEADER, RUNS * 9).write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Results.read(path) == Results(HEADER, RUNS) and [*tmp_path.iterdir()] == [path]


def test_line_ends_inside_a_value_end_no_line(tmp_path):
    runs = [RUNS[0] | {"options": ["--x", "a\u2028b\x85c"]}]
    Results(HEADER, runs).write(tmp_path / "results.jsonl")
    assert Results.read(tmp_path / "results.jsonl").runs == runs


def test_files_that_are_no_results_are_refused(tmp_path):
    path = tmp_path / "results.jsonl"
    with pytest.raises(UserError, match="no such file; `ablate` writes it"):
        Results.read(path)
    Results(HEADER, RUNS).write(path)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(UserError, match=r"results.jsonl:3: no JSON"):
        Results.read(path)
    path.write_text("{}\n")
    with pytest.raises(UserError, match=r"results.jsonl:1: not the results of a grid"):
        Results.read(path)
