"""The importance of heads, against the gradients of masks on what they give."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from research.compression.importance import importance
from research.data.batch import Batch
from research.data.stream import StreamInfo
from research.inference import Model
from research.models import Student
from research.step import Clean

CLASSES = StreamInfo("classify", ("a", "b", "c"), max_length=24)
FOUR = {"num_attention_heads": 4}


@pytest.fixture
def student(tiny: Callable[..., Student]) -> Student:
    student = tiny("bert", architecture=FOUR)
    student.add_head("s", 3)
    torch.nn.init.normal_(student.heads["s"].linear.weight)
    return student.double().eval()


def test_importance_is_the_gradient_of_masks(
    student: Student, batch_of: Callable[..., Batch], texts: list[str]
) -> None:
    labels = [0, 1, 2, 0, 1, 2, 0, 1]
    halves = [batch_of(student, texts[i : i + 4], [Clean()], labels=labels[i : i + 4]) for i in (0, 4)]
    found = importance(Model(student, {"s": CLASSES}), "s", iter(halves))

    expected = torch.zeros(2, 4, dtype=torch.float64)
    masks: dict[int, torch.Tensor] = {}

    def masked(layer: int, given: torch.Tensor) -> tuple[torch.Tensor]:
        heads = given.unflatten(-1, (4, 8))
        masks[layer] = torch.ones(heads.shape[:3], dtype=torch.float64, requires_grad=True)
        return ((heads * masks[layer][..., None]).flatten(-2),)

    for number, layer in enumerate(student.model.bert.encoder.layer):
        layer.attention.output.dense.register_forward_pre_hook(lambda _, given, n=number: masked(n, given[0]))
    for batch in halves:
        logits = student.class_logits(student(batch.views[Clean()]), "s")
        gradients = torch.autograd.grad(F.cross_entropy(logits, batch.labels, reduction="sum"), [masks[0], masks[1]])
        expected += torch.stack([gradient.abs().sum((0, 1)) for gradient in gradients])
    torch.testing.assert_close(found.double(), F.normalize(expected, dim=1), rtol=1e-5, atol=1e-6)


def test_head_that_gives_nothing_matters_least(
    student: Student, batch_of: Callable[..., Batch], texts: list[str]
) -> None:
    with torch.no_grad():
        student.model.bert.encoder.layer[1].attention.output.dense.weight[:, 16:24] = 0
    batch = batch_of(student, texts, [Clean()], labels=[0, 1, 2, 0, 1, 2, 0, 1])
    found = importance(Model(student, {"s": CLASSES}), "s", iter([batch]))
    assert float(found[1, 2]) == 0 and bool((found.flatten() > 0).sum() == 7)
