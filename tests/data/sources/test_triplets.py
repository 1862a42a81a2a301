"""Triplets of labelled pairs, as the authors of SimCSE made them of natural language inference."""

from typing import Any

import pytest

from research.data.sources import Triplets
from research.errors import UserError

PAIRS = [
    ("a man sleeps", "a person rests", "entailment"),
    ("a man sleeps", "a man reads", "neutral"),
    ("a dog runs", "the dog is asleep", "contradiction"),
    ("a man sleeps", "a man runs", "contradiction"),
    ("a man sleeps", "someone is asleep", "entailment"),
    ("a dog runs", "an animal moves", "entailment"),
    ("a man sleeps", "nobody sleeps", "contradiction"),
    ("birds sing", "there is song", "entailment"),
]


@pytest.fixture
def pairs(counted: Any) -> Any:
    return counted([dict(zip(("text", "text_pair", "label"), pair, strict=True)) for pair in PAIRS])


def test_by_hand(pairs: Any) -> None:
    records = list(Triplets(pairs))
    assert [(r["text"], r["text_pair"], r["target"]) for r in records] == [
        ("a man sleeps", "a person rests", "a man runs"),
        ("a dog runs", "an animal moves", "the dog is asleep"),
        ("a man sleeps", "someone is asleep", "nobody sleeps"),
    ]
    assert [r["origin"] for r in records] == [r["text"] for r in records], "held out together"
    assert [r["where"] for r in records] == ["memory:4", "memory:6", "memory:7"]


def test_settings_change_the_fingerprint(pairs: Any) -> None:
    assert Triplets(pairs).fingerprint() == Triplets(pairs).fingerprint()
    assert Triplets(pairs).fingerprint() != Triplets(pairs, negative="neutral").fingerprint()


def test_bad_settings_and_records(counted: Any) -> None:
    with pytest.raises(UserError, match="both 'x'; name two labels"):
        Triplets(counted([]), "x", "x")
    with pytest.raises(UserError, match="memory:1: the record is no pair"):
        list(Triplets(counted([{"text": "alone", "label": "entailment"}])))
