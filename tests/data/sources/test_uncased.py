"""A source without its capitals."""

from typing import Any

from research.data.sources import Uncased


def test_texts_are_lowered_and_labels_kept(counted: Any) -> None:
    records = [
        {"text": "The US Dollar", "text_pair": "İzmir", "target": "ÀÉ", "origin": "The US", "label": "Money"},
        {"text": "plain", "label": ["A", "b"]},
    ]
    source = counted(records)
    plain, lower = list(source), list(Uncased(source))
    assert [(r["text"], r["label"], r["where"]) for r in lower] == [
        ("the us dollar", "Money", plain[0]["where"]),
        ("plain", ["A", "b"], plain[1]["where"]),
    ]
    assert lower[0]["target"] == "àé" and lower[0]["origin"] == "the us" and "text_pair" not in lower[1]
    assert plain[0]["text"] == "The US Dollar", "the other source's records stay as they are"
    assert Uncased(source).fingerprint() != source.fingerprint()
