"""Lengths, repetition and copies of written texts, beside the gold ones."""

from collections.abc import Sequence

import pytest

from research.evaluation.errors.answers import Written
from research.evaluation.errors.writing import copied, repetition, runs, writing_sections

sacrebleu = pytest.importorskip("sacrebleu", reason="the extra generation is not installed")

SOURCES = ["the red house by the sea", "the red house by the sea", "a cat", "a dog", "nothing"]
GOLD = ["A red house is by the sea.", "By the sea is a red house.", "There is a cat.", "There is a dog.", "Nothing."]
GUESS = ["the red house by the sea"] * 2 + ["on and on and on and on and on", "there is a dog", ""]


def written(guesses: Sequence[str] = GUESS) -> tuple[Written, dict[str, str]]:
    places = [str(i) for i in range(5)]
    rows = [{"where": w, "gold": gold, "text": guess} for w, gold, guess in zip(places, GOLD, guesses, strict=True)]
    text = dict(zip(places, SOURCES, strict=True))
    return Written.of(rows).by_source(text), text


def test_repetition_and_copies_by_hand() -> None:
    assert len(runs("on and on and on and on")) == 4
    assert repetition("on and on and on and on") == 1 / 2, "two of four runs have come before"
    assert repetition("one two three four five") == repetition("one") == 0
    assert copied("see the red house by", SOURCES[0]) == 1 / 2
    assert runs("我们吃饭") == [("我", "们", "吃", "饭")], "a character is a word"


def test_scores_are_sacrebleus_against_all_gold_texts_of_the_source() -> None:
    answers, _ = written()
    assert answers.where == ["0", "2", "3", "4"] and answers.gold[0] == GOLD[:2]
    expected = [sacrebleu.sentence_chrf(GUESS[0], GOLD[:2]).score, sacrebleu.sentence_chrf(GUESS[3], [GOLD[3]]).score]
    assert answers.scores[[0, 2]].tolist() == pytest.approx(expected)


def test_sections() -> None:
    answers, text = written()
    figures, worst, again = writing_sections(answers, text, most=2)
    assert figures.table is not None and "4 sources, 5 gold texts" in figures.note
    rows = {row[0]: row[1:] for row in figures.table.rows}
    assert rows["words, mean"] == ["4.8", "4.6"] and rows["words, least and most"] == ["0, 9", "1, 7"]
    assert rows["empty"] == ["25.0%", "0.0%"] and rows["same for another source"] == ["0.0%", "0.0%"]
    assert rows["4 words twice"] == ["25.0%", "0.0%"]
    assert rows["runs of 4 words from the source"][0] == "25.0%"
    assert {shown.text.splitlines()[-1] for shown in worst.examples} == {"source: nothing", "source: a cat"}
    (shown,) = again.examples
    assert shown.text.startswith("on and on") and shown.caption.endswith("repeated  2")


def test_one_text_for_every_source() -> None:
    answers, text = written(["It is."] * 5)
    figures, _, again = writing_sections(answers, text, most=2)
    assert figures.table is not None
    assert ["same for another source", "100.0%", "0.0%"] in figures.table.rows
    assert again.note == "no text repeats itself"
