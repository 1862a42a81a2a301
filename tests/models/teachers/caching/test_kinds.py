"""What is kept of an answer, put back together, against the answer itself and torch.distributions."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from research.data.batch import IGNORE, Row, Tokens, pad_rows
from research.data.masking import Masked, NextToken, SpanCorrupted
from research.models import Student, heads
from research.models.teachers.caching import kinds
from research.models.teachers.caching.kinds import OUTPUT, Classes, Features, States, TopTokens, collapsed
from research.models.teachers.live import LiveAnswer
from research.step import Clean

VIEWS = {"bert": Masked(0.4), "gpt2": NextToken(), "t5": SpanCorrupted(0.4)}


def columns(cells: Any) -> dict[str, Tensor]:
    """As a cache gives them back."""
    return {name: torch.from_numpy(np.concatenate([row[name] for row in cells])) for name in cells[0]}


def answer_of(student: Student, tokens: Tokens) -> LiveAnswer:
    with torch.no_grad():
        return LiveAnswer(student, student(tokens))


def all_logits(student: Student, tokens: Tokens) -> Tensor:
    """The whole model's, as transformers computes them, at the labelled positions."""
    given = {} if tokens.decoder_ids is None else {"decoder_input_ids": tokens.decoder_ids}
    types = {} if tokens.types is None else {"token_type_ids": tokens.types}
    with torch.no_grad():
        out: Any = student.model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), **given, **types)  # type: ignore[misc]
    assert tokens.labels is not None
    return out.logits[tokens.labels != IGNORE]


def kl(mine: Tensor, theirs: Tensor) -> Tensor:
    return kl_divergence(Categorical(logits=theirs), Categorical(logits=mine))


def test_collapsed_probabilities_are_sums() -> None:
    logits = torch.randn(5, 40, dtype=torch.float64, generator=torch.manual_seed(0)) * 3
    top = logits.flip(1).topk(6).indices  # any tokens, not only this distribution's own likeliest
    p, got = logits.softmax(-1), collapsed(logits, top).softmax(-1)
    assert got.shape == (5, 7)
    torch.testing.assert_close(got[:, :-1], p.gather(1, top))
    torch.testing.assert_close(got[:, -1], 1 - p.gather(1, top).sum(1))


@pytest.mark.parametrize("chunk", [3, 1024])
@pytest.mark.parametrize("name", VIEWS)
def test_likeliest_tokens_and_the_rest(
    name: str, chunk: int, tiny: Any, texts: list[str], batch_of: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    """The divergence is the one that numpy computes from all logits of two whole models, tokens outside k as one."""
    for module in (heads, kinds):
        monkeypatch.setattr(module, "CHUNK", chunk)
    teacher, student = tiny(name, seed=5), tiny(name)
    tokens = batch_of(student, texts, [VIEWS[name]]).views[VIEWS[name]]
    kind, t = TopTokens(2.0, k=20), 2.0
    kept = columns(kind.cells(answer_of(teacher, tokens), tokens, tmp_path))
    assert {name: part.dtype for name, part in kept.items()} == {
        "token": torch.uint16,
        "log_probability": torch.float16,
        "log_rest": torch.float32,
    }
    head = student.vocabulary_head(student(tokens).at_labels()[0])
    loss = kind.divergence(kept, head, kl)

    p, q = ((all_logits(model, tokens) / t).softmax(-1).numpy() for model in (teacher, student))
    expected = []
    for row, other in zip(p, q, strict=True):
        top = np.argsort(-row)[:20]
        a, b = np.append(row[top], 1 - row[top].sum()), np.append(other[top], 1 - other[top].sum())
        expected.append((a * np.log(a / b)).sum())
    assert loss.item() == pytest.approx(np.mean(expected), abs=5e-4), "half precision"
    whole = kl(all_logits(student, tokens) / t, all_logits(teacher, tokens) / t).mean()
    assert loss < whole, "what the rest hides"
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None for p in student.parameters())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("name", VIEWS)
def test_features_give_all_tokens(
    name: str, temperature: float, tiny: Any, texts: list[str], batch_of: Any, tmp_path: Any
) -> None:
    teacher, student = tiny(name, seed=5), tiny(name)
    tokens = batch_of(student, texts, [VIEWS[name]]).views[VIEWS[name]]
    kind = Features()
    kept = columns(kind.cells(answer_of(teacher, tokens), tokens, tmp_path))
    head = kind.head(kept, load_file(tmp_path / OUTPUT))
    theirs = all_logits(teacher, tokens)
    assert head.logits.shape == theirs.shape
    mine = all_logits(student, tokens)
    got = kl(mine / temperature, head.logits.double() / temperature).mean()
    torch.testing.assert_close(got, kl(mine / temperature, theirs / temperature).mean(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", VIEWS)
def test_states_and_class_logits(name: str, tiny: Any, texts: list[str], batch_of: Any, tmp_path: Any) -> None:
    teacher = tiny(name, seed=5)
    teacher.add_head("s", 3)
    teacher.double().eval()
    for view in (Clean(), VIEWS[name]):
        tokens = batch_of(teacher, texts, [view]).views[view]
        answer = answer_of(teacher, tokens)
        classes = Classes("s")
        logits = classes.logits(columns(classes.cells(answer, tokens, tmp_path)), tokens)
        torch.testing.assert_close(logits.double(), answer.class_logits("s"), rtol=0, atol=1e-6)

        got = States().encoded(columns(States().cells(answer, tokens, tmp_path)), tokens)
        real = tokens.mask
        torch.testing.assert_close(got.memory[real].double(), answer.encoded.memory[real], rtol=2e-3, atol=1e-3)
        assert got.hidden.shape == answer.encoded.hidden.shape
        torch.testing.assert_close(
            teacher.embedding(got).float(), teacher.embedding(answer.encoded).float(), rtol=0, atol=2e-3
        )
        if tokens.labels is not None:
            torch.testing.assert_close(got.at_labels()[0].double(), answer.encoded.at_labels()[0], rtol=2e-3, atol=1e-3)


def test_documents_of_packed_rows(tiny: Any, tmp_path: Any) -> None:
    teacher = tiny("bert")
    teacher.add_head("s", 3)
    teacher.double().eval()
    ids = np.arange(10, 22)
    rows = [
        Row(ids, labels=np.full(12, IGNORE), segments=np.repeat([1, 2, 3], [3, 4, 5])),
        Row(ids[:5], labels=np.array([IGNORE, 7, IGNORE, 8, IGNORE]), segments=np.repeat([1, 2], [2, 3])),
    ]
    tokens = pad_rows(rows, 0, types=False)
    answer = answer_of(teacher, tokens)
    cells = Classes("s").cells(answer, tokens, tmp_path)
    assert [len(row["logits"]) for row in cells] == [9, 6]
    logits = Classes("s").logits(columns(cells), tokens)
    torch.testing.assert_close(logits.double(), answer.class_logits("s"), rtol=0, atol=1e-6)
    assert [len(row["log_rest"]) for row in TopTokens(1.0, 4).cells(answer, tokens, tmp_path)] == [0, 2]


def test_names_tell_apart_what_differs() -> None:
    some = [
        Classes("a"),
        Classes("a", "12ab"),
        Classes("b"),
        TopTokens(1.0, 8),
        TopTokens(2.5, 8),
        Features(),
        States(),
    ]
    assert len({kind.name for kind in some}) == len(some)
