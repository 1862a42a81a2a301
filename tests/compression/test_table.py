"""Pareto's front and the table by hand."""

from dataclasses import replace
from pathlib import Path

from research.compression.table import Row, as_text, markdown, plot, worth_it

ROWS = [
    Row("whole", 100_000_000, 22_000_000, 8.0, 500_000_000, 0.90),
    Row("small", 25_000_000, 10_000_000, 4.0, 400_000_000, 0.88),
    Row("worse", 30_000_000, 10_000_000, 4.5, 400_000_000, 0.87),  # than small in all
    Row("slow", 9_000_000, 9_000_000, 9.0, 400_000_000, 0.80),  # but the smallest
    Row("twin", 9_000_000, 9_000_000, 9.0, 400_000_000, 0.80),
]


def test_front() -> None:
    assert worth_it(ROWS) == [True, True, False, True, True]


def test_rows_stand_beside_the_first() -> None:
    lines = markdown(ROWS, "accuracy").splitlines()
    assert lines[3] == "| small | 25.00 | 25.0% | 10.00 | 4.00 | 2.00 | 400 | 0.8800 | 97.8% | front |"
    assert lines[4].endswith("| 0.8700 | 96.7% |  |")


def test_terminal_has_80_columns() -> None:
    rows = [replace(row, name=f"students/{row.name}") for row in ROWS]
    text = as_text(rows, "accuracy (validation)")
    assert max(map(len, text.splitlines())) <= 80
    line = next(line for line in text.splitlines() if line.startswith("times as fast"))
    assert line.split() == ["times", "as", "fast", "1", "2", "1.778"]
    assert " ".join(text.split()).endswith("fast and as good: " + ", ".join(rows[i].name for i in (0, 1, 3, 4)))


def test_plot(tmp_path: Path) -> None:
    plot(ROWS, "accuracy", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
