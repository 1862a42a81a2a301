import csv
import pickle
from pathlib import Path

import pytest
from datatrove.data import Document

from research.data.prepare.steps import Decontamination
from research.data.sources import CSV, LabelledLines
from research.errors import UserError


@pytest.fixture(scope="module")
def trec(shared: Path) -> LabelledLines:
    return LabelledLines(str(shared / "trec" / "test.all"))


def test_planted_test_sentence_is_found(trec: LabelledLines, comments: list[str]) -> None:
    step = Decontamination({"trec": trec})
    long = next(record["text"] for record in trec if len(record["text"].split()) > 16)
    short = "What is the average weight of a Yellow Labrador ?"  # 9 words and a mark
    assert short in [record["text"] for record in trec]
    clean = comments[0]
    assert step.filter(Document(clean, "")) is True
    for planted in (long, short, short.lower().replace(" ?", ""), short.replace(" ", "\n")):
        assert step.filter(Document(f"{clean} {planted} {clean}", "")) == (False, "trec"), planted
    assert step.filter(Document(f"{clean} What is the average weight of a Labrador {clean}", "")) is True
    assert step.filter(Document(f"{clean} {' '.join(long.split()[:12])} {clean}", "")) is True  # 12 of 13 words


def test_a_test_text_is_found_whatever_surrounds_it_and_short_ones_are_not_looked_for(slices: Path) -> None:
    """Against a search of the text by itself: single spaces, lower case, no marks, any number is 0."""
    source = CSV(str(slices / "banking77" / "test.csv"), text="text")
    step = pickle.loads(pickle.dumps(Decontamination({"banking77": source}, shortest=9)))
    for record in source:
        words = record["text"].replace("?", "").replace(".", "").split()
        if len(words) >= 14 or len(words) <= 6:
            expected = (False, "banking77") if len(words) >= 14 else True
            assert step.filter(Document(f"So I asked them: {record['text']} Nothing.", "")) == expected, record


def test_fingerprint_is_that_of_the_test_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\none\n")
    first = Decontamination({"a": CSV(str(path), text="text")}).fingerprint()
    path.write_text("text\ntwo\n")
    assert Decontamination({"a": CSV(str(path), text="text")}).fingerprint() != first


def test_bad_settings() -> None:
    with pytest.raises(UserError, match=r"^shortest is 14; it must be from 1 to n, which is 13"):
        Decontamination({}, shortest=14)


def test_words_that_no_spaces_part(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("jieba", reason="the extra chinese is not installed")
    with (shared / "waimai" / "waimai_10k.csv").open(encoding="utf-8", newline="") as file:
        reviews = [row["review"] for _, row in zip(range(400), csv.DictReader(file), strict=False)]
    planted, clean = max(reviews, key=len), reviews[0]
    (tmp_path / "tests.csv").write_text(f'text\n"{planted}"\n', encoding="utf-8")
    step = Decontamination({"waimai": CSV(str(tmp_path / "tests.csv"), text="text")}, language="cmn")
    assert step.filter(Document(f"{clean}。{planted}。{clean}", "")) == (False, "waimai")
    assert step.filter(Document(f"{clean}。{planted[: len(planted) // 8]}。{clean}", "")) is True
