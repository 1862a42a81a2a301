"""Attacks by hand-worked cases, and losses of texts against Transformers."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference.model import Model
from research.privacy.attacks import exposure, membership, text_losses


def test_membership() -> None:
    """Of the 12 pairs of a member and another the member has the lower loss in 9, and one pair is level."""
    members, others = np.array([0.1, 0.5, 0.9]), np.array([0.3, 0.9, 1.0, 2.0])
    area, found = membership(members, others)
    assert area == pytest.approx((4 + 3 + 2 + 0.5) / 12)
    assert found == pytest.approx(1 / 3), "none of the others is taken for a member where the threshold is below 0.3"
    assert membership(members, others, 0.25)[1] == pytest.approx(2 / 3)


def test_membership_of_equals_is_a_guess() -> None:
    rng = np.random.default_rng(0)
    area, found = membership(rng.normal(size=20_000), rng.normal(size=20_000))
    assert abs(area - 0.5) < 0.01 and abs(found - 0.01) < 0.005


def test_exposure() -> None:
    candidates = np.arange(1024.0)
    assert [exposure(loss, candidates) for loss in (0.0, 1.0, 3.0, 1023.0)] == pytest.approx([10, 9, 8, 0])
    guesses = [exposure(loss, candidates) for loss in candidates]
    assert np.mean(guesses) == pytest.approx(1 / math.log(2), abs=0.01)


def test_losses_of_texts(tiny: Any, texts: list[str]) -> None:
    student = tiny("gpt2").requires_grad_(False)
    model = Model(student, {"s": StreamInfo("unlabelled")}, tokens=64)
    got = text_losses(model, texts, "s")
    end = student.vocabulary.end
    for text, loss in zip(texts, got, strict=True):
        ids = torch.tensor([*student.tokenizer(text, add_special_tokens=False)["input_ids"], end])[None]
        log_p = student.model(input_ids=ids).logits[0].log_softmax(-1)
        assert loss == pytest.approx(-float(log_p[:-1].gather(1, ids[0, 1:, None]).sum()), rel=1e-6)


def test_an_encoder_gives_texts_no_likelihood(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"^a student of the encoder family gives texts no likelihood"):
        text_losses(Model(tiny("bert"), {"s": StreamInfo("unlabelled")}), ["a"], "s")
