"""The few-shot table by hand, and the files that its runs read."""

import json
import sys
from pathlib import Path

import yaml

from research.data.sources import JSONLines

FOLDER = Path(__file__).parents[2] / "experiments" / "few_shot"
sys.path.insert(0, str(FOLDER))
from table import interval, report  # noqa: E402


def test_report_by_hand() -> None:
    arms = {"ce": [("1100", 0.7), ("1000", 0.75)], "hybrid": [("1110", 0.81), ("1110", 0.8)], "logreg": [("0000", 0.9)]}
    tested = {arm: [{"right": right, "sts": sts} for right, sts in runs] for arm, runs in arms.items()}
    results = {"commit": "c", "command": "run", "seeds": [0, 1], "dev": {"trec": {"ce": [0.5, 0.5]}}}
    text = report(results | {"test": {"trec": tested}})
    assert "| ce | 50.0 ± 0.0 |" in text, "dev"
    assert "| ce | 37.5 ± 158.8 |" in text and "| hybrid | 75.0 ± 0.0 |" in text, "test: t(0.975, 1) is 12.706"
    assert "| hybrid | 0.805 (0.800) |" in text
    assert "| trec | ce | +37.5 |" in text
    assert "No test text was looked at" in report(results | {"test": {}})
    assert interval([0.5]) == "50.0"


def test_label_words_name_classes_that_exist(shared: Path) -> None:
    words = {path.stem: {str(record["label"]) for record in JSONLines(str(path), label="label")}
             for path in (FOLDER / "words").glob("*.jsonl")}  # fmt: skip
    assert set(words) == {path.stem for path in (FOLDER / "sets").glob("*.yaml")}
    assert words["banking77"] == set(json.loads((shared / "banking77" / "categories.json").read_text()))
    assert words["trec"] == set("012345") and words["sst2"] == set("01") and len(words["bbc"]) == 5


def test_arms_weigh_what_they_have() -> None:
    for path in (FOLDER / "arms").glob("*.yaml"):
        model = yaml.safe_load(path.read_text())["model"]
        weights = model.get("weighting", {}).get("init_args", {}).get("weights", dict.fromkeys(model["objectives"]))
        assert set(weights) == set(model["objectives"]), path.name
