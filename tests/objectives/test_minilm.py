"""MiniLM's relations against the attention that transformers gives out, and values cut by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from research.data.batch import Batch, Example, pad_rows
from research.data.masking import Conditional
from research.data.packing import pack_rows
from research.errors import UserError
from research.objectives import MiniLM, TinyBERT
from research.step import Clean

DEEPER = {"num_hidden_layers": 3}


def parts(student: Any, tokens: Any, layer: int) -> tuple[Tensor, dict[str, Tensor]]:
    """A layer's attention maps (N, h, L, L), and its queries, keys and values (N, L, width)."""
    used, model = student.model.config._attn_implementation, student.model
    model.set_attn_implementation("eager")
    out = model.base_model(
        tokens.ids, tokens.mask.long(), tokens.types, output_hidden_states=True, output_attentions=True
    )
    model.set_attn_implementation(used)
    own = model.base_model.encoder.layer[layer - 1].attention.self
    below = out.hidden_states[layer - 1]
    return out.attentions[layer - 1], {name: getattr(own, name)(below) for name in ("query", "key", "value")}


def relation(x: Tensor, heads: int) -> Tensor:
    """softmax(X X^T / sqrt(d)) (heads, L, L) of one text without padding (L, width)."""
    cut = torch.stack(x.chunk(heads, dim=-1))
    return (cut @ cut.transpose(1, 2) / cut.shape[-1] ** 0.5).softmax(-1)


def divergence(theirs: list[Tensor], mine: list[Tensor]) -> Tensor:
    """The mean over heads and tokens of all texts."""
    pairs = zip(theirs, mine, strict=True)
    return torch.cat([kl_divergence(Categorical(t), Categorical(s)).flatten() for t, s in pairs]).mean()


@pytest.mark.parametrize(
    ("heads", "layers", "architecture"),
    [
        (None, None, DEEPER),
        (None, {1: 2}, DEEPER),
        (8, None, {**DEEPER, "hidden_size": 64, "num_attention_heads": 4}),
    ],
)
def test_formula(
    heads: Any, layers: Any, architecture: Any,
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any,
) -> None:  # fmt: skip
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5, architecture=architecture))
    objective = MiniLM("s", heads, layers)
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [Clean()])
    tokens = batch.views[Clean()]
    loss = objective(step_of(objective, student, batch, teacher))
    loss.backward()

    mine, theirs = (1, 2) if layers else (2, 3)
    (my_maps, my_parts), (their_maps, their_parts) = (
        parts(student, tokens, mine),
        parts(teacher.student, tokens, theirs),
    )
    lengths = tokens.mask.sum(1).tolist()

    def cut(maps: Tensor) -> list[Tensor]:
        return [maps[i, :, :n, :n] for i, n in enumerate(lengths)]

    def related(x: Tensor) -> list[Tensor]:
        return [relation(x[i, :n], heads or 2) for i, n in enumerate(lengths)]

    names = ("value",) if heads is None else ("query", "key", "value")
    expected = sum(divergence(related(their_parts[n]), related(my_parts[n])) for n in names)
    if heads is None:
        expected = expected + divergence(cut(their_maps), cut(my_maps))
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-8)
    assert student.model.base_model.encoder.layer[mine - 1].attention.self.value.weight.grad.any()


@pytest.mark.parametrize(("name", "view"), [("gpt2", Conditional()), ("t5", Conditional())], ids=str)
@pytest.mark.parametrize("heads", [None, 4])
def test_other_families(
    heads: Any, name: str, view: Any, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any,
    learns: Any,
) -> None:  # fmt: skip
    """The student's own weights cost nothing and others do; what a text is padded by changes nothing."""
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    objective = MiniLM("s", heads, view=view)
    learns(objective, student, teacher)

    def loss(given: list[str], teacher: Any = teacher) -> Tensor:
        batch = batch_of(student, given, [view], targets=[text[: len(text) // 2] for text in given])
        return objective(step_of(objective, student, batch, teacher))

    short, long = loss(texts[1:2]), loss(texts[4:5])
    both = loss([texts[1], texts[4]])
    assert min(short, long) < both < max(short, long)
    torch.testing.assert_close(loss([texts[1], texts[1]]), short)
    assert loss(texts, teacher_of(tiny(name))) < 1e-9


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("objective", [MiniLM("s"), TinyBERT("s")], ids=lambda o: type(o).__name__)
def test_documents_of_a_packed_row_are_kept_apart(
    objective: Any, name: str, tiny: Any, texts: list[str], step_of: Any, teacher_of: Any, learns: Any
) -> None:
    """Several in one row cost what they cost in a row each."""
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    learns(objective, student, teacher)
    ids = student.tokenizer(texts[:4], add_special_tokens=False)["input_ids"]
    rows = [student.family.frame(Example(np.array(row)), student.vocabulary) for row in ids]
    losses = []
    for laid_out in (rows, [pack_rows(rows[:3]), pack_rows(rows[3:])]):
        tokens = pad_rows(laid_out, student.vocabulary.pad, types=False)
        losses.append(objective(step_of(objective, student, Batch({Clean(): tokens}), teacher)))
    torch.testing.assert_close(*losses)
    assert losses[0] > 1e-3


def test_refusals(tiny: Any, teacher_of: Any, learns: Any) -> None:
    student = tiny("bert")
    with pytest.raises(UserError, match="heads is 0; it must be at least 1"):
        MiniLM("s", heads=0)
    with pytest.raises(UserError, match="heads is 5; it must divide 32"):
        learns(MiniLM("s", heads=5), student, teacher_of(student))
    with pytest.raises(UserError, match="student layer 0 is none of 1 to 2"):
        learns(MiniLM("s", layers={0: 1}), student, teacher_of(student))
    teacher = teacher_of(tiny("bert", architecture={"num_attention_heads": 4}))
    with pytest.raises(UserError, match="the student has 2 attention heads and the teacher 4"):
        learns(MiniLM("s"), student, teacher)


def test_our_own_transformer_cannot_be_read(tiny: Any, teacher_of: Any, learns: Any) -> None:
    """It computes attention by itself, and says so before the first step."""
    own = tiny("bert", architecture={"model_type": "hybrid_transformer"})
    with pytest.raises(UserError, match=r"model.student: the attention of hybrid_transformer cannot be read"):
        learns(MiniLM("s"), own, teacher_of(tiny("bert")))
