"""Token cutoff: rates on real texts, and a cut token that truly tells the others nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.augment import TokenCutoff
from research.data.batch import Example, Tokens, pad_rows
from research.data.packing import pack_rows
from research.errors import UserError
from research.step import Clean


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_cut_tokens_tell_nothing(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Another token in a cut place changes no other state, and no pooled embedding; not even the first token's cut."""
    student = tiny(name)
    for seed in range(5):
        view = TokenCutoff(0.5)
        tokens = batch_of(student, texts, [view], seed=seed).views[view]
        lengths = batch_of(student, texts, [Clean()]).views[Clean()].mask
        cut = lengths & ~tokens.mask
        assert cut.any()
        other = Tokens(tokens.ids.clone(), tokens.mask, types=tokens.types)
        other.ids[cut] = int(np.flatnonzero(~student.vocabulary.special)[7])
        first, second = student(tokens), student(other)
        assert first.hidden.isfinite().all()
        torch.testing.assert_close(first.hidden[tokens.mask], second.hidden[tokens.mask], rtol=0, atol=1e-12)
        torch.testing.assert_close(student.embedding(first), student.embedding(second), rtol=0, atol=1e-12)
        if student.pooling == "last":  # the end token, however many are cut before it
            ends = first.hidden[torch.arange(len(texts)), lengths.sum(1) - 1]
            torch.testing.assert_close(student.embedding(first), ends, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_gradients_are_finite(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student, view = tiny(name, dropout=0.1), TokenCutoff(0.5)
    student.train()
    student.embedding(student(batch_of(student, texts, [view]).views[view])).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_rate_on_questions(questions: list[np.ndarray], encoder: Any, vocabulary: Any) -> None:
    """The share of cut tokens is the rate, within four standard deviations; special tokens are never cut."""
    rng, view = np.random.default_rng(0), TokenCutoff(0.2)
    rows = [view.build(Example(ids), encoder, vocabulary, rng) for ids in questions]
    plain = [Clean().build(Example(ids), encoder, vocabulary, rng) for ids in questions]
    assert all(np.array_equal(row.ids, other.ids) for row, other in zip(rows, plain, strict=True))
    ordinary = [~vocabulary.special[row.ids] for row in rows]
    n, cut = sum(o.sum() for o in ordinary), sum(row.cut.sum() for row in rows)
    assert abs(cut - 0.2 * n) < 4 * np.sqrt(n * 0.2 * 0.8)
    assert not any((row.cut & ~o).any() for row, o in zip(rows, ordinary, strict=True))


def test_one_token_stays(encoder: Any, vocabulary: Any) -> None:
    view, rng = TokenCutoff(0.999), np.random.default_rng(0)
    stays = np.zeros(4)
    for _ in range(400):
        row = view.build(Example(np.array([2054, 2003, 2023, 1029])), encoder, vocabulary, rng)
        assert row.cut is not None and row.cut.sum() >= 3 and not row.cut[[0, -1]].any()
        stays += ~row.cut[1:-1]
    assert (stays > 60).all(), "whichever token, not always the same one"


def test_pairs_keep_their_types(encoder: Any, vocabulary: Any) -> None:
    view = TokenCutoff(0.5)
    row = view.build(Example(np.arange(2000, 2006), np.arange(3000, 3004)), encoder, vocabulary,
                     np.random.default_rng(1))  # fmt: skip
    tokens = pad_rows([row], vocabulary.pad, types=True)
    assert tokens.types is not None and row.cut is not None
    assert tokens.types.tolist() == [[0] * 8 + [1] * 5]
    assert tokens.mask.tolist() == [(~row.cut).tolist()]


def test_packed_rows_are_refused(encoder: Any, vocabulary: Any, questions: list[np.ndarray]) -> None:
    row = TokenCutoff(0.5).build(Example(questions[0]), encoder, vocabulary, np.random.default_rng(0))
    with pytest.raises(UserError, match="TokenCutoff cannot hide tokens of packed rows"):
        pack_rows([row, row])


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_impossible_rate(rate: float) -> None:
    with pytest.raises(UserError, match=r"cutoff rate is .*; it must lie in \(0, 1\)"):
        TokenCutoff(rate)
