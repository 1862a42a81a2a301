"""The page of samples, and the row of people's sentences."""

from pathlib import Path

import pytest

from research.applications.writing.page import write_samples
from research.applications.writing.table import people

PLACE = {"facts": {"name": "<b>Mill</b>", "area": "riverside"}, "people": ["<b>Mill</b> by the river"]}


def test_values_stay_text_and_errors_are_told(tmp_path: Path) -> None:
    texts = {"ce": [{**PLACE, "greedy": "a pub"}], "hybrid": [{**PLACE, "greedy": "<b>Mill</b>, riverside"}]}
    write_samples(tmp_path / "samples.html", texts, ["greedy"])
    page = (tmp_path / "samples.html").read_text()
    assert "&lt;b&gt;Mill&lt;/b&gt;" in page and "<b>Mill" not in page
    assert "a pub<small>missing: name, area; added: eatType</small>" in page
    assert page.count("<small>") == 1, "the others have no errors"


def test_people_are_measured_against_the_others() -> None:
    pytest.importorskip("sacrebleu")
    facts = {"name": "Zizzi", "area": "riverside"}
    said = "Zizzi lies by the river in the old town"
    figures = people([facts, facts, facts], [[said, said], [said, "Zizzi", said], ["Zizzi alone"]])
    assert figures["bleu"] == pytest.approx(100.0) and figures["slot_errors"] == 0.0
    assert people([facts], [["Zizzi", said]])["missing"] == 50.0
