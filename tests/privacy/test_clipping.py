"""A private gradient against one worked out text by text, through the Transformers model and by hand from there."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from research.data.batch import IGNORE
from research.data.masking import Masked, NextToken, SpanCorrupted
from research.data.stream import StreamInfo
from research.objectives import CausalLM, Classification, MaskedLM, SpanCorruption
from research.objectives.reading import reads_of, views_of
from research.privacy import DPSGD
from research.privacy.budget import Budget
from research.privacy.clipping import carried, clipped_sum
from research.step import Clean, Step

LABELS = [0, 1, 2, 1, 0, 2, 2, 1]
WEIGHTS = {"ce": 1.0, "lm": 0.5}
LORA = {"r": 2, "target_modules": ["query", "value"], "init_lora_weights": False}
LANGUAGE = {"bert": (MaskedLM, Masked()), "gpt2": (CausalLM, NextToken()), "t5": (SpanCorruption, SpanCorrupted())}


def states(student: Any, ids: Tensor) -> Tensor:
    """Of the last layer that sees the text, by Transformers."""
    model = student.model
    read = {"bert": lambda: model.bert, "gpt2": lambda: model.transformer, "t5": lambda: model.encoder}
    return read[student.config.model_type]()(input_ids=ids).last_hidden_state


def by_hand(student: Any, head: Any, batch: Any, view: Any, i: int) -> Tensor:
    """``ce + lm / 2`` of text i alone."""
    clean = batch.views[Clean()]
    hidden = states(student, clean.ids[i : i + 1, : clean.mask[i].sum()])
    pooled = hidden[:, -1] if student.config.model_type == "gpt2" else hidden.mean(1)
    tokens = batch.views[view]
    ids, labels = tokens.ids[i : i + 1, : tokens.mask[i].sum()], tokens.labels[i]
    given = {}
    if tokens.decoder_ids is not None:
        labels = labels[labels != IGNORE]
        given = {"decoder_input_ids": tokens.decoder_ids[i : i + 1, : len(labels)]}
    logits = student.model(input_ids=ids, **given).logits[0]
    language = F.cross_entropy(logits, labels[: len(logits)], ignore_index=IGNORE)
    return F.cross_entropy(head(pooled), torch.tensor(LABELS[i : i + 1])) + 0.5 * language


def private_gradient(private: DPSGD, student: Any, objectives: Any, batch: Any) -> tuple[dict[str, Tensor], list[Any]]:
    """The losses that are told, and the gradient of each trained parameter."""
    module: Any = SimpleNamespace(parameters=student.parameters, seed=3)

    def losses(active: Any, batches: Any) -> dict[str, Tensor]:
        step = Step(batches, student, None, views_of(active), reads_of(active))
        return {name: objective(step) for name, objective in active.items()}

    student.zero_grad()
    told, noised = private.step(module, {"s": batch}, objectives, WEIGHTS, losses)
    (2 * noised).backward()  # as a gradient scaler would
    assert noised == 0
    return told, [None if p.grad is None else p.grad / 2 for p in student.parameters() if p.requires_grad]


def quiet(clip: float, noise: float = 0.0) -> DPSGD:
    private = DPSGD(["s"], epsilon=1.0, delta=1e-5, clip=clip, repeatable=True)
    private.budgets, private.batch_sizes = {"s": Budget(0.1, noise, 1e-5)}, {"s": 5.0}
    return private


@pytest.mark.parametrize(("kind", "given"), [("bert", {}), ("bert", {"lora": LORA}), ("bert", {"freeze_layers": 1}),
                                             ("gpt2", {}), ("t5", {})])  # fmt: skip
def test_against_a_loop_over_texts(tiny: Any, texts: list[str], batch_of: Any, kind: str, given: Any) -> None:
    pytest.importorskip("opacus", reason="the extra private is not installed")
    student, (language, view) = tiny(kind, **given), LANGUAGE[kind]
    objectives = {"ce": Classification("s"), "lm": language("s")}
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
    student.double().eval()
    batch = batch_of(student, texts, [Clean(), view], LABELS)
    trained = [p for p in student.parameters() if p.requires_grad]
    alone = [
        torch.autograd.grad(
            by_hand(student, student.heads["s"], batch, view, i), trained, allow_unused=True, materialize_grads=True
        )
        for i in range(len(texts))
    ]
    norms = torch.tensor([torch.cat([g.flatten() for g in each]).norm() for each in alone])
    clip = float(norms.median())
    assert (norms > clip).sum() >= 3 and (norms < clip).sum() >= 3, "nothing is clipped, or all is"
    factors = (clip / norms).clamp(max=1)
    told, got = private_gradient(quiet(clip), student, objectives, batch)
    assert told.keys() == objectives.keys()
    for gradient, *each in zip(got, *alone, strict=True):
        want = sum(factor * g for factor, g in zip(factors, each, strict=True)) / 5.0
        torch.testing.assert_close(gradient, want, rtol=1e-6, atol=1e-9)


def test_a_text_more_moves_the_sum_by_no_more_than_the_clip(tiny: Any, texts: list[str], batch_of: Any) -> None:
    pytest.importorskip("opacus", reason="the extra private is not installed")
    student, objectives = tiny("bert"), {"ce": Classification("s")}
    objectives["ce"].build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
    student.double().eval()
    sums = []
    for count in (7, 8):
        batch = batch_of(student, texts[:count], [Clean()], LABELS[:count])
        _, got = private_gradient(quiet(0.3), student, objectives, batch)
        sums.append(5.0 * torch.cat([g.flatten() for g in got if g is not None]))
    assert float((sums[1] - sums[0]).norm()) == pytest.approx(0.3)


def test_a_gradient_that_is_not_finite_reaches_nothing() -> None:
    weight = nn.Parameter(torch.ones(2))

    def losses() -> Iterator[Tensor]:
        yield (weight * torch.tensor([3.0, 0.0])).sum()
        yield (weight * torch.tensor([float("inf"), 1.0])).sum()
        yield torch.tensor(1.0)  # of no parameter
        yield (weight * torch.tensor([0.0, 0.5])).sum()

    (total,) = clipped_sum(losses(), [weight], clip=1.0)
    torch.testing.assert_close(total, torch.tensor([1.0, 0.5]))
    loss = carried([total], [weight]) * 3
    loss.backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([3.0, 1.5]))


def test_noise_comes_without_examples_too_and_is_new_in_each_step(tiny: Any) -> None:
    pytest.importorskip("opacus", reason="the extra private is not installed")
    student = tiny("bert")
    private, twin = quiet(2.0, noise=1.5), quiet(2.0, noise=1.5)

    def drawn(private: DPSGD) -> Tensor:
        told, got = private_gradient(private, student, {}, None)
        assert told == {}
        return torch.cat([g.flatten() for g in got])

    first, second = drawn(private), drawn(private)
    assert private.budgets["s"].steps == 2
    assert float(first.std()) == pytest.approx(1.5 * 2.0 / 5.0, rel=0.02) and abs(float(first.mean())) < 0.02
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.03
    assert torch.equal(drawn(twin), first), "by the seed it is the same"
    twin.repeatable = False
    assert not torch.equal(drawn(twin), second), "of the system's randomness it is not"
