"""Generation against transformers with labels laid out by hand: the loss is on target and end alone."""

from typing import Any

import torch
import torch.nn.functional as F

from research.data.batch import IGNORE
from research.data.stream import StreamInfo
from research.objectives import Generation


def test_decoder(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    objective, student = Generation("s"), tiny("gpt2")
    targets = texts[::-1]
    batch = batch_of(student, texts, objective.views(), targets=targets)

    end = student.tokenizer.eos_token_id
    sources, answers = (student.tokenizer(many)["input_ids"] for many in (texts, targets))
    longest = max(len(s) + len(t) + 2 for s, t in zip(sources, answers, strict=True))
    ids, labels = (
        torch.zeros(len(texts), longest, dtype=torch.long),
        torch.full((len(texts), longest), IGNORE),
    )
    mask = torch.zeros_like(ids)
    for i, (source, answer) in enumerate(zip(sources, answers, strict=True)):
        row = [*source, end, *answer, end]
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        labels[i, len(source) + 1 : len(row)] = torch.tensor([*answer, end])
    out = student.model(input_ids=ids, attention_mask=mask, labels=labels)
    loss = objective(step_of(objective, student, batch))
    torch.testing.assert_close(loss.float(), out.loss, rtol=0, atol=1e-5)  # transformers computes it in float32
    expected = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)


def test_encoder_decoder(tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    objective, student = Generation("s"), tiny("t5")
    targets = texts[::-1]
    batch = batch_of(student, texts, objective.views(), targets=targets)

    end = student.tokenizer.eos_token
    source, answer = (
        student.tokenizer([text + end for text in many], padding=True, return_tensors="pt") for many in (texts, targets)
    )
    labels = answer["input_ids"].masked_fill(answer["attention_mask"] == 0, IGNORE)
    expected = student.model(input_ids=source["input_ids"], attention_mask=source["attention_mask"], labels=labels).loss
    torch.testing.assert_close(objective(step_of(objective, student, batch)), expected, rtol=0, atol=1e-6)


def test_the_source_carries_no_loss(tiny: Any, texts: list[str], batch_of: Any) -> None:
    for name in ("gpt2", "t5"):
        student = tiny(name)
        objective = Generation("s")
        objective.check("g", student.family, {"s": StreamInfo("generate")}, None)
        tokens = batch_of(student, texts, objective.views(), targets=["a river"] * len(texts)).views[objective.view]
        answer = [
            *student.tokenizer("a river", add_special_tokens=False)["input_ids"],
            student.vocabulary.end,
        ]
        for row in tokens.labels:
            assert row[row != IGNORE].tolist() == answer
