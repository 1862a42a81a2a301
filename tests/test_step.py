"""The student encodes a stream once, whatever number of objectives reads it, and to the same states as apart."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from research.data.batch import Batch, Example, pad_rows, same_inputs
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted
from research.data.stream import StreamInfo
from research.models import LiveTeacher, Student
from research.objectives import CausalLM, Classification, Contrastive, Distillation, MaskedLM, Objective
from research.objectives.reading import views_of
from research.step import Clean, Step, View

LABELS = [0, 1, 1, 0, 1, 0, 0, 1]
VIEWS: dict[str, list[View]] = {
    "bert": [Clean(), Masked(0.3), Clean(dropout_pass=1), Masked(0.5, whole_word=True)],
    "gpt2": [Clean(), Conditional(), NextToken()],
    "t5": [Clean(), SpanCorrupted(0.3), Conditional(), Clean(dropout_pass=1), SpanCorrupted(0.6, 1.0)],
}


class Count:
    """How often a model runs, and over how many rows; T5's is counted by its encoder."""

    def __init__(self, student: Student) -> None:
        model: Any = student.model
        first: nn.Module = model.encoder if student.config.model_type == "t5" else model.base_model
        self.rows: list[int] = []
        first.register_forward_hook(lambda module, given, out: self.rows.append(len(out.last_hidden_state)))


@pytest.fixture
def teacher(tiny: Any, tmp_path: Any) -> LiveTeacher:
    model = tiny("bert", seed=5)
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    teacher = LiveTeacher(str(tmp_path))
    teacher.build(torch.device("cpu"))
    teacher.student.add_head("s", 2)
    teacher.student.double().eval()
    return teacher


def test_one_forward_for_four_objectives_over_three_views(
    tiny: Any, texts: list[str], batch_of: Any, teacher: LiveTeacher
) -> None:
    objectives: dict[str, Objective] = {
        "mlm": MaskedLM("s", 0.3),
        "kd": Distillation("s", tokens=Masked(0.3)),
        "ce": Classification("s"),
        "nce": Contrastive("s"),
    }
    student = tiny("bert")
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b"))})
    student.double()
    views = views_of(objectives)
    assert views == {"s": [Masked(0.3), Clean(), Clean(dropout_pass=1)]}
    count, teachers = Count(student), Count(teacher.student)
    step = Step({"s": batch_of(student, texts, views["s"], LABELS)}, student, teacher, views)
    assert count.rows == [], "nothing is encoded before an objective asks"
    losses = [objective(step) for objective in objectives.values()]
    assert count.rows == [3 * len(texts)] and teachers.rows == [len(texts)]
    torch.stack(losses).sum().backward()


def test_a_forward_a_stream(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Streams have their own forward, and one that gives no batch in this step has none."""
    objectives: dict[str, Objective] = {"a": MaskedLM("one"), "b": Contrastive("one"), "c": MaskedLM("two")}
    student = tiny("bert")
    views, count = views_of(objectives), Count(student)
    batches = {"one": batch_of(student, texts, views["one"]), "two": batch_of(student, texts[:2], views["two"])}
    step = Step({**batches, "three": None}, student, None, views)
    for objective in objectives.values():
        objective(step)
    assert count.rows == [3 * len(texts), 2]
    assert "one" in step and "three" not in step


def test_encoder_decoder_needs_one_forward_with_a_decoder_and_one_without(
    tiny: Any, texts: list[str], batch_of: Any
) -> None:
    student = tiny("t5")
    count = Count(student)
    batch = batch_of(student, texts, VIEWS["t5"], targets=texts[::-1])
    step = Step({"s": batch}, student, None, {"s": VIEWS["t5"]})
    for view in VIEWS["t5"]:
        step.encoded("s", view)
    assert count.rows == [2 * len(texts), 3 * len(texts)]


def test_a_decoder_encodes_a_text_once_to_classify_and_to_continue_it(
    tiny: Any, texts: list[str], batch_of: Any
) -> None:
    objectives: dict[str, Objective] = {"ce": Classification("s"), "lm": CausalLM("s"), "nce": Contrastive("s")}
    student = tiny("gpt2")
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b"))})
    student.double().eval()
    views = views_of(objectives)
    assert views["s"] == [Clean(), NextToken(), Clean(1)]
    batch = batch_of(student, texts, views["s"], LABELS)
    assert batch.shared == {NextToken(): Clean()}
    counted = Count(student)
    together = Step({"s": batch}, student, None, views)
    losses = {name: objective(together) for name, objective in objectives.items()}
    assert counted.rows == [2 * len(texts)]  # Clean(1) differs in its dropout mask
    batch.shared.clear()
    apart = Step({"s": batch}, student, None, views)
    for name, objective in objectives.items():
        torch.testing.assert_close(losses[name], objective(apart))
    assert counted.rows[1:] == [3 * len(texts)]


def test_a_text_that_goes_on_is_continued_by_a_forward_of_its_own(tiny: Any) -> None:
    student = tiny("gpt2")
    for ends, expected in ((True, {NextToken(): Clean()}), (False, {})):
        example, rng = Example(np.arange(5, 9), ends=ends), np.random.default_rng(0)
        rows = {v: v.build(example, student.family, student.vocabulary, rng) for v in (Clean(), NextToken())}
        assert same_inputs({v: pad_rows([row], 0, False) for v, row in rows.items()}) == expected


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_encoded_together_is_encoded_apart(name: str, pairs: bool, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Views of unequal length in one padded batch give the states that each gives alone."""
    student = tiny(name)
    views = VIEWS[name]
    batch: Batch = batch_of(
        student, texts, views, seconds=texts[3:] + texts[:3] if pairs else None, targets=texts[::-1]
    )
    lengths = {tokens.ids.shape[1] for tokens in batch.views.values()}
    assert name == "bert" or len(lengths) > 1, "padding is added"
    step = Step({"s": batch}, student, None, {"s": views})
    for view in views:
        together, alone = step.encoded("s", view), student(batch.views[view])
        tokens = together.tokens
        assert tokens is batch.views[view]
        assert together.hidden.shape == alone.hidden.shape and together.memory.shape == alone.memory.shape
        real = tokens.mask if tokens.decoder_ids is None else tokens.labels != -100
        torch.testing.assert_close(together.hidden[real], alone.hidden[real], rtol=0, atol=1e-6)
        torch.testing.assert_close(together.memory[tokens.mask], alone.memory[tokens.mask], rtol=0, atol=1e-6)
        torch.testing.assert_close(student.embedding(together), student.embedding(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_padding_changes_nothing(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Each text alone, without padding, has the states that it has in the padded batch of all views."""
    student = tiny(name)
    views: list[View] = [Clean(), Conditional()] if name != "bert" else [Clean(), Clean(1)]
    step = Step({"s": batch_of(student, texts, views, targets=texts[::-1])}, student, None, {"s": views})
    for view in views:
        encoded = step.encoded("s", view)
        for i, text in enumerate(texts):
            alone = student(batch_of(student, [text], [view], targets=[texts[-1 - i]]).views[view])
            length = alone.hidden.shape[1]
            assert alone.tokens.mask.all()
            torch.testing.assert_close(encoded.hidden[i, :length], alone.hidden[0], rtol=0, atol=1e-6)


def test_types_are_padded(tiny: Any, texts: list[str], batch_of: Any) -> None:
    """A taller batch of a long and a short view; the short one's token types end where its texts end."""
    student = tiny("bert")
    views: list[View] = [Clean(), Clean(dropout_pass=1)]
    batch = batch_of(student, texts, views, seconds=texts[::-1])
    short = batch_of(student, texts[1:2], views[:1], seconds=texts[5:6])
    batch.views[views[1]] = short.views[views[0]]
    step = Step({"s": batch}, student, None, {"s": views})
    encoded, alone = step.encoded("s", views[1]), student(short.views[views[0]])
    assert alone.hidden.shape[1] < batch.views[views[0]].ids.shape[1]
    torch.testing.assert_close(encoded.hidden, alone.hidden, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_dropout_passes(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name, dropout=0.1)
    views: list[View] = [Clean(), Clean(dropout_pass=1)]
    batch = batch_of(student, texts, views)

    def passes() -> tuple[torch.Tensor, torch.Tensor]:
        step = Step({"s": batch}, student, None, {"s": views})
        first, second = (step.encoded("s", view) for view in views)
        assert step.encoded("s", views[0]) is first, "asked again, the same pass"
        return student.embedding(first), student.embedding(second)

    first, second = passes()
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    student.train()
    first, second = passes()
    assert ((first - second).abs().amax(1) > 1e-3).all(), "each text has two masks"


def test_teacher_encodes_each_view_once_without_a_gradient(
    tiny: Any, texts: list[str], batch_of: Any, teacher: LiveTeacher
) -> None:
    objectives: dict[str, Objective] = {
        "classes": Distillation("s"),
        "again": Distillation("s", temperature=4.0, alpha=0.5),
        "tokens": Distillation("s", tokens=Masked(0.3)),
    }
    student = tiny("bert").train()
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b"))})
    student.double()
    teachers, views = Count(teacher.student), views_of(objectives)
    batch = batch_of(student, texts, views["s"], LABELS)
    step = Step({"s": batch}, student, teacher, views)
    torch.stack([objective(step) for objective in objectives.values()]).sum().backward()
    assert teachers.rows == [len(texts)] * 2
    taught = step.taught("s", Clean()).encoded
    assert not taught.hidden.requires_grad and not teacher.student.training
    assert all(p.grad is None for p in teacher.student.parameters())
    assert teachers.rows == [len(texts)] * 2
    expected = teacher.student.model.base_model(**inputs(batch.views[Clean()])).last_hidden_state
    torch.testing.assert_close(taught.hidden, expected, rtol=0, atol=1e-6)


def inputs(tokens: Any) -> dict[str, torch.Tensor]:
    return {"input_ids": tokens.ids, "attention_mask": tokens.mask.long(), "token_type_ids": tokens.types}


def test_views_of_objectives_are_each_built_once() -> None:
    objectives: dict[str, Objective] = {
        "mlm": MaskedLM("wiki"), "lm": CausalLM("wiki"), "more": MaskedLM("wiki", 0.4), "same": MaskedLM("wiki"),
        "nce": Contrastive("wiki"), "ce": Classification("news"), "kd": Distillation("news", tokens=Masked()),
    }  # fmt: skip
    assert views_of(objectives) == {
        "wiki": [Masked(), NextToken(), Masked(0.4), Clean(), Clean(1)],
        "news": [Clean(), Masked()],
    }
