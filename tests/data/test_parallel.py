"""What is told on standard error while work is done."""

import io
import sys

import pytest

from research.data import parallel
from research.data.parallel import Report, each


def three(number: int, report: Report) -> None:
    for _ in range(3):
        report(100, 2_000_000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("cores", [1, 2])
def test_lines_where_there_is_no_terminal(
    cores: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: cores)
    with caplog.at_level("INFO", "research"):
        each(three, 2)
        assert caplog.messages == [], "work of a moment is not told of"
        monkeypatch.setattr(parallel, "SILENCE", 0.0)
        each(three, 2)
    assert caplog.messages[-1] == "building the cache: 600 records, 12 MB"
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with parallel.told(delay=0) as report:
        three(0, report)
    assert "300 records" in sys.stderr.getvalue() and "6 MB" in sys.stderr.getvalue()  # type: ignore[attr-defined]
