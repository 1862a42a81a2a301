import json
from pathlib import Path

import pytest

from research.data.prepare.folder import Folder
from research.data.prepare.report import account, table
from research.errors import UserError

STAGES = [("first", ["Read", "1-Filter", "Write"]), ("data", ["Handed", "Write"])]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """As datatrove leaves it after two tasks that read 7 and 5 documents, and dropped 3 and 0 of them."""

    def stats(stage: str, rank: int, *steps: dict) -> None:
        path = tmp_path / "logs" / stage / "stats" / f"{rank:05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"name": "", "stats": step} for step in steps]))

    length = {"total": 70.0, "n": 7, "mean": 10.0}
    first = {"total": 7, "dropped": 3, "forwarded": 4, "dropped_short": 2, "dropped_long": 1}
    stats("first", 0, {"total": 7, "from_a": 7, "doc_len": length, "warnings": 2}, first, {"total": 4})
    stats("first", 1, {"total": 5, "from_b": 5, "doc_len": 50}, {"total": 5, "forwarded": 5}, {"total": 5})
    stats("data", 0, {}, {"total": 4, "doc_len": 40})
    stats("data", 1, {}, {"total": 5, "doc_len": 50})
    return Folder(tmp_path)


def test_sums_over_tasks(folder: Folder) -> None:
    report = account(folder, STAGES)
    assert (report["read"], report["kept"], report["warnings"]) == (12, 9, 2)
    assert (report["characters read"], report["characters kept"]) == (120, 90)
    assert report["read from"] == {"a": 7, "b": 5}
    row = {"step": "1-Filter", "read": 12, "dropped": 3, "kept": 9, "reasons": {"short": 2, "long": 1}, "examples": []}
    assert report["steps"] == [row]
    lines = table(report).splitlines()
    assert lines[2].split() == ["1-Filter", "12", "3", "9", "25.0"]
    assert lines[3].split() == ["short", "2"]
    assert max(map(len, lines)) <= 80


def test_documents_lost_between_stages_are_noticed(folder: Folder) -> None:
    (folder.logs / "data" / "stats" / "00001.json").unlink()
    with pytest.raises(UserError, match="data was handed 9 documents and saw 4; remove the folder and prepare anew"):
        account(folder, STAGES)
