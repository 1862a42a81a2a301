import csv
import pickle
from pathlib import Path

import pytest
from datatrove.data import Document

from research.data.prepare.steps import Language
from research.errors import UserError

GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund, der in der Sonne liegt und schläft."


def test_keeps_the_languages_asked_for(shared: Path, slices: Path) -> None:
    with (shared / "waimai" / "waimai_10k.csv").open(encoding="utf-8", newline="") as file:
        reviews = [row["review"] for row in csv.DictReader(file)][:60]
    reviews = [review for review in reviews if len(review) > 10]
    paragraphs = [
        line for line in (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines() if len(line) > 200
    ]
    english, chinese = Language(["en"]), Language(["zh"])

    def kept(step: Language, texts: list[str]) -> float:
        return sum(step.filter(Document(text, "")) is True for text in texts) / len(texts)

    assert kept(english, paragraphs) == 1
    assert kept(chinese, [review for review in reviews if len(review) > 25]) == 1
    assert kept(Language(["zh"], threshold=0), reviews) == 1  # of a dozen characters it is not always sure
    assert kept(english, reviews) == kept(chinese, paragraphs) == 0


def test_reason_and_metadata() -> None:
    german = Document(GERMAN, "")
    step = pickle.loads(pickle.dumps(Language(["en", "zh"])))
    assert step.filter(german) == (False, "de")
    assert german.metadata["language"] == "de"
    assert 0.9 < german.metadata["language_score"] <= 1
    assert Language(["de"]).filter(german) is True
    assert step.filter(Document("ok", "")) == (False, "sr")  # two letters say nothing
    assert Language(["sr"]).filter(Document("ok", "")) == (False, "unsure sr")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"languages": []}, "languages: the list is empty"),
        ({"languages": ["english"]}, "languages: py3langid knows no 'english'"),
        ({"languages": ["en"], "threshold": 2}, "threshold is 2; it must be from 0 to 1"),
    ],
)
def test_bad_settings(settings: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Language(**settings)
