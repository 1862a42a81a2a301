"""Which labels are missed, and which are given for them."""

import numpy as np
from sklearn.metrics import classification_report

from research.evaluation.errors.answers import Tagged
from research.evaluation.errors.multilabel import multilabel_sections

GOLD = ["a", "ab", "b", "c", "", "ab"]
GUESS = ["a", "ac", "b", "", "", "c"]


def tagged() -> Tagged:
    gold, guess = (np.array([[label in given for label in "abc"] for given in of]) for of in (GOLD, GUESS))
    probability = np.where(guess, 0.9, 0.2)
    probability[5, 2] = 0.95
    return Tagged([str(i) for i in range(6)], gold, guess, probability, ("a", "b", "c"))


def test_sections() -> None:
    answers = tagged()
    labels, instead, surest = multilabel_sections(answers, {str(i): f"text {i}" for i in range(6)}, most=2)
    expected = classification_report(
        answers.gold, answers.guess, target_names=answers.labels, output_dict=True, zero_division=0
    )
    assert labels.table is not None
    assert [row[0] for row in labels.table.rows] == ["c", "b", "a", "mean of the labels"], "the hardest first"
    for name, _, given, *figures in labels.table.rows[:3]:
        assert figures == [f"{expected[name][key]:.3f}" for key in ("precision", "recall", "f1-score")]
        assert int(given) == "".join(GUESS).count(name)
    assert "has 1.17 labels and is given 0.83; 50.0% are given all" in labels.note
    assert instead.table is not None
    assert instead.table.rows == [["b → c", "2", "66.7%"], ["a → c", "1", "33.3%"]], "by hand, of examples 1 and 5"
    assert [shown.text for shown in surest.examples] == ["text 5", "text 1"]
    assert surest.examples[0].caption == "a, b → c (0.95)  5"


def test_nothing_wrong() -> None:
    answers = tagged()
    answers.guess = answers.gold
    _, instead, surest = multilabel_sections(answers, {}, most=2)
    assert instead.table is None and "no example" in instead.note and not surest.examples
