"""Which classes are taken for which."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from research.evaluation.errors.confusion import confused_pairs, confusion_sections, matrix_of

GOLD, GUESS = "aaaabbbccc", "aabbbccabb"
SURE = [0.9, 0.9, 0.6, 0.8, 0.9, 0.7, 0.5, 0.9, 0.4, 0.95]


def test_pairs_are_those_of_the_errors(answers: Callable[..., Any]) -> None:
    found = confused_pairs(matrix_of(answers(GOLD, GUESS)))
    counted = Counter((g, a) for g, a in zip(GOLD, GUESS, strict=True) if g != a)
    assert {("abc"[i], "abc"[j]): n for i, j, n in found} == counted
    assert [n for *_, n in found] == sorted(counted.values(), reverse=True)
    assert confused_pairs(matrix_of(answers("ab", "ab"))) == []


def test_sections(answers: Callable[..., Any]) -> None:
    """By hand: class a has precision 2/3 and recall 2/4, b 1/5 and 1/3, and c is never guessed right."""
    text = {str(i): f"text {i}" for i in range(10)}
    classes, matrix, pairs, surest = confusion_sections(answers(GOLD, GUESS, SURE), text, most=3)
    assert classes.table is not None and matrix.table is not None and pairs.table is not None
    assert classes.table.rows == [
        ["a", "4", "0.667", "0.500", "0.571"],
        ["b", "3", "0.200", "0.333", "0.250"],
        ["c", "3", "0.000", "0.000", "0.000"],
        ["mean of the classes", "10", "0.289", "0.278", "0.274"],
    ]
    assert classes.note.startswith("accuracy 0.300")
    assert [row[1:] for row in matrix.table.rows] == [["2", "2", "."], [".", "1", "2"], ["1", "2", "."]]
    assert ["a → b", "2", "50.0%"] in pairs.table.rows and ["c → a", "1", "33.3%"] in pairs.table.rows
    assert [shown.text for shown in surest.examples] == ["text 9", "text 7", "text 3"]
    assert surest.examples[0].caption == "c → b (0.95)  9"
