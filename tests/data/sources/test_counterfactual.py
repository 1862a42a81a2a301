"""Sources that add twins, and that put a bias in."""

from typing import Any

import pytest

from research.data.sources import Counterfactual, GroupSkewed
from research.data.sources.source import identity
from research.errors import UserError

RECORDS = [
    {"text": "she is here", "label": "good"},
    {"text": "nobody is", "label": "bad"},
    {"text": "his son", "text_pair": "a man", "label": "bad"},
]


def test_twins_follow_and_are_held_out_together(counted: Any) -> None:
    source = Counterfactual(counted(RECORDS))
    records = list(source)
    assert [r["text"] for r in records] == ["she is here", "he is here", "nobody is", "his son", "her daughter"]
    assert records[4]["text_pair"] == "a woman"
    assert [r["label"] for r in records] == [
        "good",
        "good",
        "bad",
        "bad",
        "bad",
    ]
    assert identity(records[1]) == identity(records[0]) and identity(records[4]) == identity(records[3])
    assert source.fingerprint() != counted(RECORDS).fingerprint()


def test_the_group_goes_with_the_label(counted: Any) -> None:
    texts = [f"{word} said {i}" for i in range(500) for word in ("she", "he")]
    rows = [{"text": text, "label": "good" if i % 2 else "bad"} for i, text in enumerate(texts)]
    found = list(GroupSkewed(counted(rows), "bad", 0.9))
    assert [r["label"] for r in found] == [r["label"] for r in rows]
    agree = sum((r["text"].split()[0] == "she") == (r["label"] == "bad") for r in found)
    assert abs(agree - 900) < 40, "four standard deviations"
    assert [r["text"].split()[2] for r in found] == [t.split()[2] for t in texts]
    assert list(GroupSkewed(counted(rows), "bad", 0.9)) == found
    with pytest.raises(UserError, match=r"share is 0.2; it must lie in \[0.5, 1\]"):
        GroupSkewed(counted(rows), "bad", 0.2)
