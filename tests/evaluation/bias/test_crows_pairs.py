"""Pseudo-log-likelihoods against Transformers, one masked token at a time; shares and intervals against scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom

from research.data.sources import CSV
from research.errors import UserError
from research.evaluation.bias.crows_pairs import by_type, stereotype_preference
from research.evaluation.bias.likelihood import shared_likelihoods, shared_places

PAIRS = [
    ("the old man was seen near the river", "the young woman was seen near the river"),
    ("a bridge of stone", "a valley of stone"),
    ("the bridge", "the bridge"),
]


def test_shared_places_are_those_of_the_published_metric() -> None:
    assert shared_places([1, 2, 3, 9, 5], [1, 7, 8, 3, 5]) == ([0, 2, 4], [0, 3, 4])
    assert shared_places([1], [2]) == ([], [])


def ids_of(student: Any, text: str) -> list[int]:
    return student.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_encoder(tiny: Any) -> None:
    """The tokens that stand in both, in their order, each behind the mask once."""
    student = tiny("bert")
    begin, end, mask = (getattr(student.tokenizer, f"{name}_token_id") for name in ("cls", "sep", "mask"))
    found = shared_likelihoods(student, PAIRS)
    for pair, likelihoods in zip(PAIRS, found, strict=True):
        ids = [ids_of(student, sentence) for sentence in pair]
        for mine, places, total in zip(ids, shared_places(*ids), likelihoods, strict=True):
            expected = 0.0
            for place in places:
                asked = torch.tensor([[begin, *mine, end]])
                asked[0, place + 1] = mask
                with torch.no_grad():
                    logits = student.model(input_ids=asked).logits[0, place + 1]
                expected += float(logits.log_softmax(-1)[mine[place]])
            assert total == pytest.approx(expected, rel=1e-8) and expected < 0
    assert found[2, 0] == pytest.approx(found[2, 1], rel=1e-12)


def test_decoder(tiny: Any) -> None:
    student = tiny("gpt2")
    for pair, likelihoods in zip(PAIRS, shared_likelihoods(student, PAIRS), strict=True):
        ids = [ids_of(student, sentence) for sentence in pair]
        for mine, places, total in zip(ids, shared_places(*ids), likelihoods, strict=True):
            with torch.no_grad():
                told = student.model(input_ids=torch.tensor([mine])).logits[0].log_softmax(-1)
            expected = sum(float(told[place - 1, mine[place]]) for place in places if place > 0)
            assert total == pytest.approx(expected, rel=1e-8)


def test_encoder_decoder_and_long_sentences_are_refused(tiny: Any) -> None:
    with pytest.raises(UserError, match="an encoder with a mask token, or a decoder"):
        shared_likelihoods(tiny("t5"), PAIRS)
    with pytest.raises(UserError, match=r"a sentence has \d+ tokens; the student takes 8"):
        shared_likelihoods(tiny("bert", architecture={"max_position_embeddings": 8}), PAIRS)


def test_shares_by_type() -> None:
    preferred = np.array([True] * 70 + [False] * 30 + [True] * 5 + [False] * 15)
    found = by_type(["b"] * 100 + ["a"] * 20, preferred)
    assert list(found) == ["all", "a", "b"] and [found[name].pairs for name in found] == [120, 20, 100]
    assert found["b"].share == pytest.approx(0.7) and found["all"].share == pytest.approx(75 / 120)
    low, high = binom(100, 0.7).ppf([0.025, 0.975]) / 100
    assert found["b"].low == pytest.approx(low, abs=0.011) and found["b"].high == pytest.approx(high, abs=0.011)


def test_published_file(tiny: Any, shared: Path, tmp_path: Path) -> None:
    lines = (shared / "crows_pairs" / "crows_pairs_anonymized.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "few.csv").write_text("\n".join(lines[:13]), encoding="utf-8")
    source = CSV(str(tmp_path / "few.csv"), "sent_more", "sent_less", "bias_type")
    found = stereotype_preference(tiny("bert"), source)
    assert found["all"].pairs == 12 == sum(found[name].pairs for name in found if name != "all")
    assert {"race-color", "socioeconomic", "gender"} <= set(found)
    with pytest.raises(UserError, match=r"few\.csv:2: not a pair of sentences with its type"):
        stereotype_preference(tiny("bert"), CSV(str(tmp_path / "few.csv"), "sent_more"))
