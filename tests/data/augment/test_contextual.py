"""Contextual replacement against transformers' own logits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from research.data.augment import Contextual
from research.data.batch import IGNORE, Batch, Example
from research.errors import UserError
from research.models import EMATeacher
from research.step import Clean, Step


def reference(student: Any, tokens: Any) -> torch.Tensor:
    """Logits (M, V) of the hidden places by transformers' forward, ordinary tokens alone."""
    with torch.no_grad():
        types = {} if tokens.types is None else {"token_type_ids": tokens.types}
        out = student.model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **types).logits
    logits = out[tokens.labels != IGNORE]
    logits[:, torch.from_numpy(np.flatnonzero(student.vocabulary.special))] = -torch.inf
    return logits


def test_draws_from_the_likeliest(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """The three likeliest tokens, as often as their probabilities say, though special tokens are likelier."""
    student, view = tiny("bert", dropout=0.3), Contextual(0.3, top_k=3)
    with torch.no_grad():
        student.model.get_output_embeddings().bias[student.vocabulary.special] += 100.0
    tokens = batch_of(student, texts[:3], [view]).views[view]
    top = reference(student, tokens).topk(3)
    p, counts, n = top.values.softmax(-1), torch.zeros_like(top.values), 200
    student.train()
    torch.manual_seed(0)
    hidden = tokens.labels != IGNORE
    for _ in range(n):
        after = view.finish(tokens, student)
        assert torch.equal(after.ids[~hidden], tokens.ids[~hidden])
        hits = after.ids[hidden][:, None] == top.indices
        assert hits.any(1).all()
        counts += hits
    assert ((counts - n * p).abs() <= 4.5 * (n * p * (1 - p)).sqrt() + 1e-9).all()
    assert student.training, "the student is left as it was"


def test_what_the_worker_hides(questions: list[np.ndarray], encoder: Any, vocabulary: Any) -> None:
    view, rng, hidden, n = Contextual(0.2), np.random.default_rng(0), 0, 0
    for ids in questions:
        row = view.build(Example(ids), encoder, vocabulary, rng)
        plain = Clean().build(Example(ids), encoder, vocabulary, rng).ids
        at = row.labels != IGNORE
        assert (row.ids[at] == vocabulary.mask).all() and np.array_equal(row.labels[at], plain[at])
        assert np.array_equal(row.ids[~at], plain[~at]) and not vocabulary.special[plain[at]].any()
        hidden, n = hidden + at.sum(), n + (~vocabulary.special[plain]).sum()
    assert abs(hidden - 0.2 * n) < 4 * np.sqrt(n * 0.2 * 0.8)


def test_student_and_teacher_see_the_same(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student, view = tiny("bert"), Contextual(0.4)
    batch = batch_of(student, texts, [view, Clean()])
    teacher = EMATeacher()
    teacher.follow(student)  # its weights
    step = Step({"s": batch}, student, teacher, {"s": [view, Clean()]})
    mine, theirs = step.encoded("s", view), step.taught("s", view).encoded
    assert theirs.tokens is mine.tokens and mine.tokens.labels is None
    torch.testing.assert_close(mine.hidden[mine.tokens.mask], theirs.hidden[mine.tokens.mask], rtol=0, atol=1e-6)
    assert (mine.tokens.ids != student.vocabulary.mask).all()


def test_nothing_hidden_and_held_out(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student, view = tiny("bert"), Contextual()
    tokens: Batch = batch_of(student, texts, [Clean()])
    clean = tokens.views[Clean()]
    assert view.finish(clean, student) is clean
    none = view.finish(replace(clean, labels=torch.full_like(clean.ids, IGNORE)), student)
    assert torch.equal(none.ids, clean.ids)
    assert view.held_out() == Clean()


@pytest.mark.parametrize("given, message", [
    ((0.0, 3), r"replacement rate is 0.0; it must lie in \(0, 1\)"),
    ((0.5, 0), "top_k is 0; it must be at least 1"),
])  # fmt: skip
def test_impossible_settings(given: tuple[float, int], message: str, tiny: Any) -> None:
    with pytest.raises(UserError, match=message):
        Contextual(*given)
    with pytest.raises(UserError, match="key: the view Contextual needs an encoder"):
        Contextual().check("key", tiny("t5"), "classify")
