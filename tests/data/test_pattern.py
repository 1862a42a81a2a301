"""Patterns: rows against the tokenizer's own of the filled-in text, what is cut, and what is refused."""

from typing import Any

import numpy as np
import pytest

from research.data.batch import IGNORE, Example, Row
from research.data.pattern import Pattern
from research.errors import UserError

WORDS = ("of", "in")


def shown(pattern: Pattern, student: Any, text: str, second: str | None = None) -> Row:
    def ids(given: str) -> np.ndarray:
        return np.array(student.tokenizer(given, add_special_tokens=False)["input_ids"])

    example = Example(ids(text), None if second is None else ids(second))
    pattern.check("key", student, "classify")
    pattern.connect(student)
    return pattern.build(example, student.family, student.vocabulary, np.random.default_rng(0))


def test_encoder_reads_what_the_tokenizer_makes_of_the_filled_pattern(tiny: Any) -> None:
    student = tiny("bert")
    row = shown(Pattern("We say: {text} It is {mask} the sea.", WORDS), student, "The river runs.")
    expected = student.tokenizer("We say: The river runs. It is [MASK] the sea.")["input_ids"]
    assert row.ids.tolist() == [student.vocabulary.begin, *expected, student.vocabulary.end]
    assert np.flatnonzero(row.labels != IGNORE).tolist() == [expected.index(student.tokenizer.mask_token_id) + 1]


def test_pair(tiny: Any) -> None:
    student = tiny("bert")
    row = shown(Pattern("{second}? {mask}, {text}", WORDS), student, "the river", "a lobster")
    assert row.ids[1:-1].tolist() == student.tokenizer("a lobster? [MASK], the river")["input_ids"]


def test_decoder_predicts_the_word_after_the_pattern(tiny: Any) -> None:
    student = tiny("gpt2")
    pattern = Pattern("{text} It is {mask}", WORDS)
    row = shown(pattern, student, "The river runs.")
    assert row.ids.tolist() == student.tokenizer("The river runs. It is")["input_ids"]
    assert np.flatnonzero(row.labels != IGNORE).tolist() == [len(row.ids) - 1]
    whole = student.tokenizer("The river runs. It is of")["input_ids"]
    assert [*row.ids.tolist(), pattern.ids[0]] == whole, "the word has the space before it"


def test_encoder_decoder_fills_a_sentinel(tiny: Any) -> None:
    student = tiny("t5")
    row = shown(Pattern("{text} It is {mask} the sea", WORDS), student, "The river runs")
    encode, gap = student.tokenizer, student.vocabulary.sentinels[0]
    before = encode("The river runs It is", add_special_tokens=False)["input_ids"]
    after = encode("the sea", add_special_tokens=False)["input_ids"]
    assert row.ids.tolist() == [*before, gap, *after, student.vocabulary.end]
    assert row.decoder_ids is not None and row.decoder_ids.tolist() == [student.vocabulary.start, gap]
    assert row.labels is not None and (row.labels != IGNORE).tolist() == [False, True]


@pytest.mark.parametrize("second", [None, "lobster " * 90])
def test_long_texts_are_cut_and_the_gap_stays(second: str | None, tiny: Any) -> None:
    student = tiny("bert", architecture={"max_position_embeddings": 64})
    pattern = "{text} It is {mask}." if second is None else "{text}? {mask}, {second}."
    row = shown(Pattern(pattern, WORDS), student, "river " * 90, second)
    assert len(row.ids) == student.max_length
    assert (row.ids == student.tokenizer.mask_token_id).sum() == 1
    if second is not None:
        river, lobster = (student.tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in ("river", "lobster"))
        assert (row.ids == river).sum() > 5 and (row.ids == lobster).sum() > 5, "both texts are there"


@pytest.mark.parametrize(
    ("name", "pattern", "words", "told"),
    [
        ("gpt2", "{text} is {mask}.", WORDS, r"key: the view Pattern needs \{mask\} at the end of its pattern"),
        (
            "bert",
            "{text} is {mask}.",
            ("of", "lobsterlike"),
            r"key: word 'lobsterlike' is \[.*\] to the tokenizer; give",
        ),
        ("bert", "{text} is {mask}.", ("of", "爱"), "word '爱' is"),
    ],
)
def test_refused_before_weights_load(name: str, pattern: str, words: Any, told: str, tiny: Any) -> None:
    with pytest.raises(UserError, match=told):
        Pattern(pattern, words).check("key", tiny(name), "classify")


@pytest.mark.parametrize(
    "pattern", ["It is {mask}", "{text}", "{text} {mask} {mask}", "{text} {mask} {second} {second}"]
)
def test_pattern_without_its_slots(pattern: str) -> None:
    with pytest.raises(UserError, match=r"it needs \{text\} and \{mask\} once"):
        Pattern(pattern, WORDS)


@pytest.mark.parametrize(("pattern", "second"), [("{text} {mask}", "a pair"), ("{text} {mask} {second}", None)])
def test_pattern_of_the_other_kind(pattern: str, second: str | None, tiny: Any) -> None:
    with pytest.raises(UserError, match="the stream has the other kind"):
        shown(Pattern(pattern, WORDS), tiny("bert"), "river", second)
