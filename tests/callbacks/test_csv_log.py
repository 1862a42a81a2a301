import csv
import errno
import os
from pathlib import Path

import pytest

from research.callbacks.csv_log import CSVLog
from research.errors import UserError


def read(log: CSVLog) -> list[dict[str, str]]:
    """As any other program reads the file."""
    with log.path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def log(tmp_path: Path) -> CSVLog:
    return CSVLog(tmp_path)


def test_each_row_is_in_the_file_at_once(log: CSVLog) -> None:
    for step in (1, 2):
        log.log_metrics({"loss": step / 4}, step)
        assert read(log)[-1] == {"step": str(step), "loss": str(step / 4)}
    assert log.path.read_bytes() == b"step,loss\r\n1,0.25\r\n2,0.5\r\n"


def test_a_new_column_keeps_the_rows_before_it(log: CSVLog) -> None:
    log.log_metrics({"loss": 1.0}, 1)
    log.log_metrics({"accuracy": 0.5}, 1)
    log.log_metrics({"loss": 0.5}, 2)
    assert read(log) == [
        {"step": "1", "accuracy": "", "loss": "1.0"},
        {"step": "1", "accuracy": "0.5", "loss": ""},
        {"step": "2", "accuracy": "", "loss": "0.5"},
    ]
    assert [path.name for path in log.folder.iterdir()] == ["metrics.csv"]


def test_a_later_run_adds_to_the_file(log: CSVLog) -> None:
    log.log_metrics({"loss": 1.0}, 1)
    later = CSVLog(log.folder)
    later.log_metrics({"loss": 0.5, "weight": 2.0}, 2)
    assert [row["step"] for row in read(later)] == ["1", "2"]


def test_rewinding_forgets_what_comes_after(log: CSVLog) -> None:
    for step in range(1, 6):
        log.log_metrics({"loss": 1 / step}, step)
    before = read(log)
    later = CSVLog(log.folder)
    later.rewind(3)
    assert read(later) == before[:3]
    for step in (4, 5):
        later.log_metrics({"loss": 1 / step}, step)
    assert read(later) == before


def test_rewinding_to_before_the_first_row_begins_anew(log: CSVLog) -> None:
    log.rewind(0)
    assert not log.path.exists()
    log.log_metrics({"loss": 1.0, "old": 1.0}, 5)
    log.rewind(0)
    assert not log.path.exists()
    log.log_metrics({"loss": 2.0}, 1)
    assert read(log) == [{"step": "1", "loss": "2.0"}]


@pytest.mark.parametrize("torn", [b"3", b"3,0.1", b"3,0.125\r", b"\x00\x00"])
def test_a_row_that_a_kill_left_torn_is_not_a_row(log: CSVLog, torn: bytes) -> None:
    for step in (1, 2):
        log.log_metrics({"loss": step / 4, "weight": 1.0}, step)
    whole = read(log)
    with log.path.open("ab") as file:
        file.write(torn)
    assert log.rows() == whole
    later = CSVLog(log.folder)
    later.rewind(2)
    later.log_metrics({"loss": 0.75, "weight": 1.0}, 3)
    assert read(later) == [*whole, {"step": "3", "loss": "0.75", "weight": "1.0"}]


def test_disk_that_is_full(log: CSVLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.log_metrics({"loss": 1.0}, 1)
    before = log.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(UserError) as raised:
        patch.setattr(os, "replace", full)
        log.log_metrics({"loss": 1.0, "more": 2.0}, 2)
    reason = "cannot be written (No space left on device); make room or set run.folder"
    assert str(raised.value) == f"{log.path}: {reason}"
    assert log.path.read_bytes() == before
    assert [path.name for path in log.folder.iterdir()] == ["metrics.csv"]
