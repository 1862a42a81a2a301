"""Words against those of the tokenizers' own pre-tokenizers, in English and Chinese."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data.augment.words import movable, words_of
from research.data.sources import CSV
from research.data.vocabulary import Vocabulary
from research.models import TrainedTokenizer


def agree(tokenizer: Any, texts: list[str]) -> None:
    vocabulary = Vocabulary.of(tokenizer)
    for text in texts:
        encoded = tokenizer(text, add_special_tokens=False)
        ids, word = np.array(encoded["input_ids"]), np.array(encoded.word_ids())
        expected = [ids[word == w].tolist() for w in dict.fromkeys(word.tolist())]
        assert [w.tolist() for w in words_of(ids, vocabulary)] == expected, text


def test_wordpiece(minilm_tokenizer: Any, shared: Path) -> None:
    lines = (shared / "trec" / "test.all").read_text(encoding="latin-1").splitlines()
    agree(minilm_tokenizer, lines)


def test_chinese_characters_are_words(shared: Path) -> None:
    source = CSV(str(shared / "waimai" / "waimai_10k.csv"), text="review", label="label")
    tokenizer = TrainedTokenizer(source, vocab_size=5000).load()
    texts = [record["text"] for record, _ in zip(source, range(200), strict=False)]
    agree(tokenizer, texts)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_words_between_spaces(name: str, tiny: Any, texts: list[str]) -> None:
    student = tiny(name)
    for text in texts:
        ids = np.array(student.tokenizer(text, add_special_tokens=False)["input_ids"])
        words = words_of(ids, student.vocabulary)
        assert [student.tokenizer.decode(w).strip() for w in words] == text.split()


def test_special_tokens_stand_alone(tiny: Any) -> None:
    v = tiny("bert").vocabulary
    opening, continuing = np.flatnonzero(~v.special & ~v.continues)[0], np.flatnonzero(v.continues)[0]
    words = words_of(np.array([continuing, continuing, v.end, continuing, opening, continuing, v.mask]), v)
    assert [len(w) for w in words] == [2, 1, 1, 2, 1]
    assert movable(words, v).tolist() == [0, 2, 3]
    assert words_of(np.zeros(0, dtype=np.int64), v) == []
