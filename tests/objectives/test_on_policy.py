"""The student's own samples: drawn as it would, and laid out as given targets are."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.batch import IGNORE, Example, pad_rows
from research.data.masking import Conditional
from research.data.on_policy import OnPolicy
from research.errors import UserError
from research.objectives import Distillation


@pytest.fixture
def rows(slices: Path) -> tuple[list[str], list[str]]:
    with (slices / "e2e.csv").open(newline="") as file:
        given = list(csv.DictReader(file))[:5]
    return [row["mr"] for row in given], [row["ref"] for row in given]


def greedy(student: Any, source: list[int], steps: int) -> list[int]:
    """The likeliest continuation, by whole forwards of one row."""
    written: list[int] = []
    with torch.no_grad():
        while len(written) < steps:
            if student.family.name == "decoder":
                logits = student.model(torch.tensor([source + written])).logits
            else:
                start = torch.tensor([[student.vocabulary.start, *written]])
                logits = student.model(torch.tensor([source]), decoder_input_ids=start).logits
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == student.vocabulary.end:
                break
    return written


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_samples_are_laid_out_as_targets(name: str, tiny: Any, rows: Any, batch_of: Any) -> None:
    """At a temperature near 0 a sample is the greedy continuation; ids, mask and labels are those of a target."""
    student = tiny(name, seed=3)
    view = OnPolicy(max_new_tokens=12, temperature=1e-5)
    tokens = batch_of(student, rows[0], [view], targets=rows[1]).views[view]
    student.train()
    sampled = view.finish(tokens, student)
    assert student.training
    student.eval()
    examples = []
    for text in rows[0]:
        first = student.tokenizer(text, add_special_tokens=False).input_ids
        written = greedy(student, [*first, student.vocabulary.end], 12)
        ended = written[-1] == student.vocabulary.end
        examples.append(Example(np.array(first), target=np.array(written[:-1] if ended else written)))
    laid = [student.family.conditional(example, student.vocabulary) for example in examples]
    expected = pad_rows(laid, student.vocabulary.pad, False)
    for i, row in enumerate(laid):
        n = int((sampled.labels[i] != IGNORE).sum())  # a sample cut at max_new_tokens has no end
        labels = row.labels[row.labels != IGNORE][:n]
        assert n >= min(12, len(labels)) and sampled.labels[i][sampled.labels[i] != IGNORE].tolist() == labels.tolist()
        if name == "gpt2":
            length = int(sampled.mask[i].sum())
            assert sampled.ids[i][:length].tolist() == row.ids[:length].tolist()
            where = (sampled.labels[i] != IGNORE).nonzero()[0].item()
            assert where == (expected.labels[i] != IGNORE).nonzero()[0].item()
        else:
            length = int((sampled.labels[i] != IGNORE).sum())
            assert sampled.decoder_ids[i][:length].tolist() == row.decoder_ids[:length].tolist()


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_distilled_on_its_own_samples(
    name: str, tiny: Any, rows: Any, batch_of: Any, step_of: Any, teacher_of: Any
) -> None:
    """The samples differ from step to step, student and teacher read the same, and held-out data keep their targets."""
    student, teacher = tiny(name), teacher_of(tiny(name, seed=5))
    view = OnPolicy(max_new_tokens=8)
    objective = Distillation("s", tokens=view)
    batch = batch_of(student, rows[0], [view], targets=rows[1])
    student.train()
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        step = step_of(objective, student, batch, teacher)
        losses.append(objective(step))
    assert losses[0].item() == losses[2].item() != losses[1].item()
    losses[0].backward()
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    student.eval()
    assert step_of(objective, student, batch).tokens("s", view) is batch.views[view]
    assert view.held_out() == Conditional()
    assert OnPolicy(share=0.0).finish(batch.views[view], student.train()) is batch.views[view]


def test_refused() -> None:
    for given, told in (({"share": 1.5}, "share is 1.5"), ({"max_new_tokens": 0}, "max_new_tokens is 0"),
                        ({"temperature": 0.0}, "temperature is 0.0")):  # fmt: skip
        with pytest.raises(UserError, match=told):
            OnPolicy(**given)  # type: ignore[arg-type]
