"""What a teacher of other tokens is for: a student of 24 sentences overfits less on what the teacher has read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from research.data.batch import Batch, Example, pad_rows
from research.data.masking import NextToken
from research.data.sources import TextFiles
from research.models import AlignedTeacher, Student, TrainedTokenizer
from research.objectives import GOLD, ULD, CausalLM, Distillation, Objective
from research.step import Step

VIEWS = {"s": (NextToken(),)}
STEPS = 64


class World(NamedTuple):
    """Sentences held out, those that the student may read, and a teacher that has read 300 more."""

    held_out: list[str]
    few: list[str]
    make: Callable[[int, int], Student]
    teacher: Path


def batch(student: Student, texts: list[str]) -> Batch:
    examples = [Example(np.array(ids)) for ids in student.tokenizer(texts, add_special_tokens=False)["input_ids"]]
    rng = np.random.default_rng(0)
    rows = [NextToken().build(example, student.family, student.vocabulary, rng) for example in examples]
    return Batch({NextToken(): pad_rows(rows, student.vocabulary.pad, False)})


def fit(student: Student, texts: list[str], steps: int, loss: Callable[[Step], Tensor], teacher: Any = None) -> Student:
    optimizer, rng = torch.optim.AdamW(student.parameters(), 3e-3), np.random.default_rng(0)
    for _ in range(steps):
        part = [texts[i] for i in rng.integers(len(texts), size=8)]
        optimizer.zero_grad()
        loss(Step({"s": batch(student, part)}, student, teacher, VIEWS)).backward()
        optimizer.step()
    return student


@pytest.fixture(scope="module")
def world(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    source = TextFiles(str(slices / "wikitext.txt"))
    words = (slices / "wikitext.txt").read_text(encoding="utf-8").replace("<unk>", "thing").split()
    lines = [" ".join(words[i : i + 20]) for i in range(0, len(words) - 20, 20)]
    rest = [line for i, line in enumerate(lines) if i % 5]

    def make(size: int, seed: int) -> Student:
        torch.manual_seed(seed)
        settings = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
        tokenizer = TrainedTokenizer(source, vocab_size=size, kind="bpe")
        student = Student(architecture={"model_type": "gpt2", **settings}, tokenizer=tokenizer, dropout=0.0)
        student.build()
        return student

    teacher = fit(make(400, 1), rest, 120, CausalLM("s"))
    folder = tmp_path_factory.mktemp("teacher")
    teacher.model.save_pretrained(folder)  # type: ignore[union-attr, operator]
    teacher.tokenizer.save_pretrained(folder)
    return World(lines[::10], rest[:24], make, folder)


def trained(world: World, objective: Objective | None) -> tuple[float, float]:
    """Nats a character of the held-out text, and distance to the teacher's shape there, after so many steps."""
    student = world.make(700, 0)
    teacher = AlignedTeacher(str(world.teacher))
    teacher.check(student, {})
    teacher.build(torch.device("cpu"))
    cross_entropy = CausalLM("s")

    def loss(step: Step) -> Tensor:
        return cross_entropy(step) if objective is None else 0.5 * cross_entropy(step) + objective(step)

    fit(student, world.few, STEPS, loss, teacher)
    step = Step({"s": batch(student, world.held_out)}, student, teacher, VIEWS)
    with torch.no_grad():
        head, labels = step.vocabulary("s", NextToken())
        total = head.cross_entropy(labels, "sum").item()
        return total / sum(map(len, world.held_out)), ULD("s")(step).item()


def test_held_out_text_is_better_known(world: World) -> None:
    alone, shape = trained(world, None)
    exact, _ = trained(world, GOLD("s"))
    coarse, _ = trained(world, Distillation("s", tokens=NextToken(), temperature=1.0))
    _, shaped = trained(world, ULD("s"))
    assert max(exact, coarse) < alone - 0.1
    assert shaped < 0.7 * shape, "ULD brings the shape near, whatever that is good for"
