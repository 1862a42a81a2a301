"""Words of two groups: whole words, in their case, and nothing else."""

import pytest

from research.data.groups import GENDER, GroupWords
from research.errors import UserError


def test_words_are_exchanged_in_their_case() -> None:
    words = GroupWords()
    assert words.swapped("She told her SON; Mothers shell the hero, he said.") == (
        "He told his DAUGHTER; Fathers shell the heroine, she said."
    )
    assert words.swapped("I am a man.") == "I am a woman." and words.swapped("A: men") == "A: women"
    assert words.swapped("the sheet, theory and womanly other") == "the sheet, theory and womanly other"


def test_towards_one_group() -> None:
    words = GroupWords()
    text = "he and his wife met the queen"
    assert words.towards(text, 0) == "she and her wife met the queen"
    assert words.towards(text, 1) == "he and his husband met the king"
    assert words.twins(["no one", text, "her"]) == (
        ["she and her wife met the queen", "her"],
        ["he and his husband met the king", "his"],
    )


def test_the_list_has_no_word_in_both_groups_and_none_twice() -> None:
    assert len(set(GENDER)) == len(GENDER) and all(word == word.lower() for pair in GENDER for word in pair)
    GroupWords()
    with pytest.raises(UserError, match="pairs: he stand in both groups"):
        GroupWords((("she", "he"), ("he", "it")))
    with pytest.raises(UserError, match="at least one pair"):
        GroupWords(())
