"""A live teacher answers the same whatever the student does; its probe is scikit-learn's."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from research.data.batch import IGNORE, Batch
from research.errors import UserError
from research.models import LiveTeacher, Student
from research.step import Clean

LINES = [
    "You may reproduce and distribute copies of the Work", "This License does not grant permission",
    "Contribution shall mean any work of authorship", "the Licensor provides the Work on an AS IS basis",
    "In no event shall any Contributor be liable", "You must give any other recipients a copy",
]  # fmt: skip


@pytest.fixture
def teacher(saved: Any) -> LiveTeacher:
    teacher = LiveTeacher(str(saved("bert")))
    teacher.build(torch.device("cpu"))
    return teacher


def labelled(teacher: LiveTeacher, read: Any, classes: int) -> tuple[list[Batch], list[str], np.ndarray]:
    """Batches of texts whose class is told, though not wholly, by a word of theirs."""
    texts = [f"{' '.join(line.split()[: 3 + k])} {'Work' if k % 2 else ''}" for k in range(6) for line in LINES]
    labels = np.arange(len(texts)) % classes
    labels[::7] = (labels[::7] + 1) % classes
    batches = [
        Batch({Clean(): read(teacher.student, texts[i : i + 8])}, torch.as_tensor(labels[i : i + 8]))
        for i in range(0, len(texts), 8)
    ]
    return batches, texts, labels


def test_frozen_whatever_the_student_does(teacher: LiveTeacher, saved: Any, read: Any) -> None:
    student = Student(str(saved("bert")))
    student.build()
    student.train()
    tokens = read(student)
    first = teacher.encode(tokens)
    assert not teacher.student.training and not any(p.requires_grad for p in teacher.student.parameters())
    assert not first.hidden.requires_grad
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert torch.equal(teacher.encode(tokens).hidden, first.hidden), "no dropout, and weights of its own"


def test_is_no_part_of_a_module_that_owns_it(teacher: LiveTeacher) -> None:
    assert not isinstance(teacher, nn.Module)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_logits_enter_the_students_graph(name: str, saved: Any, read: Any) -> None:
    teacher, student = LiveTeacher(str(saved(name))), Student(str(saved(name)), keep_layers=[0, 2])
    teacher.build(torch.device("cpu"))
    student.build()
    tokens = read(student)

    def squared(mine: Tensor, theirs: Tensor) -> Tensor:
        return (mine - theirs).square().sum(-1)

    tokens.labels = torch.where(tokens.mask, tokens.ids, IGNORE)
    taught = teacher.answer("s", Clean(), tokens)
    mine = student.vocabulary_head(student(tokens).hidden[tokens.mask])
    loss = taught.divergence(mine, squared, temperature=2.0)
    teacher.student.add_head("task", 2)
    student.add_head("task", 2)
    loss = loss + squared(student.class_logits(student(tokens), "task"), taught.class_logits("task")).mean()
    loss.backward()
    assert loss > 0 and student.heads["task"].linear.weight.grad is not None
    assert all(p.grad is None for p in teacher.student.parameters())


@pytest.mark.parametrize("classes", [2, 5])
def test_probe_is_scikit_learns(classes: int, teacher: LiveTeacher, reference: Any, read: Any) -> None:
    batches, texts, labels = labelled(teacher, read, classes)
    teacher.fit_probe("task", iter(batches), "abcdefgh"[:classes])

    embeddings = []
    for text in texts:
        tokens = read(teacher.student, [text])
        with torch.no_grad():
            out = reference("bert")(tokens.ids, output_hidden_states=True).hidden_states[-1]
        embeddings.append(out[0].mean(0).numpy())
    model = LogisticRegression(C=1.0, max_iter=1000).fit(np.stack(embeddings), labels)

    answers = [teacher.answer("task", Clean(), batch.views[Clean()]) for batch in batches]
    logits = torch.cat([answer.class_logits("task") for answer in answers])
    assert logits.shape == (len(texts), classes) and not logits.requires_grad
    expected = model.predict_proba(np.stack(embeddings))
    np.testing.assert_allclose(logits.softmax(-1).numpy(), expected, atol=5e-3)
    assert (logits.argmax(-1).numpy() == expected.argmax(-1)).all()
    assert len(set(logits.argmax(-1).tolist())) == classes


def test_probe_strength(teacher: LiveTeacher, read: Any) -> None:
    norms = []
    for strength in (0.01, 1.0):
        teacher.probe_c = strength
        teacher.fit_probe("task", labelled(teacher, read, 2)[0], "ab")
        norms.append(teacher.student.heads["task"].linear.weight.norm())
    assert norms[0] < norms[1] / 2
    with pytest.raises(UserError, match="probe_c is 0"):
        LiveTeacher("some/name", probe_c=0)


def test_missing_teacher() -> None:
    with pytest.raises(UserError, match="no such folder"):
        LiveTeacher("./nowhere").build(torch.device("cpu"))
