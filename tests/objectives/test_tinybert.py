"""TinyBERT's terms from the weights of BERT, written out."""

from typing import Any

import pytest
import torch
from torch import Tensor

from research.data.masking import Conditional
from research.errors import UserError
from research.objectives import TinyBERT
from research.objectives.layers import uniform
from research.step import Clean


def scores_of(layer: Any, hidden: Tensor) -> Tensor:
    """``Q K^T / sqrt(d)`` (N, 2, L, L) of a layer of BERT with two heads."""
    own = layer.attention.self
    q, k = (f(hidden).unflatten(-1, (2, -1)).transpose(1, 2) for f in (own.query, own.key))
    return q @ k.transpose(2, 3) / q.shape[-1] ** 0.5


@pytest.mark.parametrize("width", [32, 48])
def test_formula(
    width: int, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    """Embeddings, states and scores of a teacher of four layers and a student of two, pair by pair of real tokens."""
    architecture = {"num_hidden_layers": 4, "hidden_size": width}
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5, architecture=architecture))
    objective = TinyBERT("s")
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [Clean()])
    loss = objective(step_of(objective, student, batch, teacher))

    tokens, given = batch.views[Clean()], []
    for model in (student.model, teacher.student.model):
        out = model.base_model(tokens.ids, tokens.mask.long(), tokens.types, output_hidden_states=True)
        given.append((out.hidden_states, model.base_model.encoder.layer))
    (mine, my_layers), (theirs, their_layers) = given
    weights = dict(objective.named_parameters())
    assert len(weights) == (0 if width == 32 else 2)
    expected = torch.zeros((), dtype=torch.float64)
    for m, t in ((0, 0), (1, 2), (2, 4)):
        weight = weights.get(f"projections.{'states' if m else 'embeddings'}.weight", torch.eye(32).double())
        expected += ((mine[m] @ weight.T - theirs[t]) ** 2)[tokens.mask].mean()
        if m:
            first, second = scores_of(my_layers[m - 1], mine[m - 1]), scores_of(their_layers[t - 1], theirs[t - 1])
            queries = []
            for row, length in enumerate(tokens.mask.sum(1)):
                queries.append(((first - second) ** 2)[row, :, :length, :length].mean((0, 2)))
            expected += torch.cat(queries).mean()
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
    loss.backward()
    assert all(p.grad.any() for p in objective.parameters())
    assert student.model.base_model.encoder.layer[0].attention.self.key.weight.grad.any()


def test_parts_of_a_batch_are_weighed_by_their_tokens(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    """Rows of unequal lengths, apart and together: attention maps have cells by the square of a length."""
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5))
    objective = TinyBERT("s")
    learns(objective, student, teacher)
    batches = [batch_of(student, part, [Clean()]) for part in (texts, texts[:1], texts[1:])]
    assert len({int(length) for length in batches[0].views[Clean()].mask.sum(1)}) > 1
    whole, *parts = (float(objective(step_of(objective, student, each, teacher))) for each in batches)
    count, *counts = (int(objective.terms(each)) for each in batches)
    assert whole == pytest.approx(sum(n * loss for n, loss in zip(counts, parts, strict=True)) / count, rel=1e-12)


def test_uniform_map() -> None:
    assert uniform(4, 12) == {0: 0, 1: 3, 2: 6, 3: 9, 4: 12}
    assert uniform(3, 6) == {0: 0, 1: 2, 2: 4, 3: 6}
    assert uniform(3, 3) == {0: 0, 1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize(("name", "view"), [("gpt2", Clean()), ("t5", Clean()), ("t5", Conditional())], ids=str)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    name: str, view: Any, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    """And one with other weights of a single layer has, from the scores of the layers above."""
    student, losses = tiny(name), []
    objective, teacher = TinyBERT("s", view=view), teacher_of(tiny(name))
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [view], targets=texts[::-1])
    for scale in (1.0, 1.1):
        for owner, attribute in student.family.stacks(student.model)[-1:]:
            for parameter in getattr(owner, attribute)[0].parameters():
                parameter.data.mul_(scale)
        losses.append(objective(step_of(objective, student, batch, teacher)))
    assert losses[0] < 1e-12
    decoder_alone = name == "t5" and view == Clean()
    assert losses[1] < 1e-12 if decoder_alone else losses[1] > 1e-3


def test_other_heads_are_refused(tiny: Any, teacher_of: Any, learns: Any) -> None:
    teacher = teacher_of(tiny("bert", architecture={"num_attention_heads": 4}))
    with pytest.raises(UserError, match="the student has 2 attention heads and the teacher 4; use MiniLM with heads"):
        learns(TinyBERT("s"), tiny("bert"), teacher)
