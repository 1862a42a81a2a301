"""Two processes, each with a part of a batch, give the loss, gradient and figures of one process with the whole."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from research.data.batch import Batch, Tokens
from research.data.spans import AnchorSpan
from research.data.stream import StreamInfo
from research.models import EMATeacher
from research.models.attention import use_blocked_attention
from research.objectives import Contrastive, MomentumContrast, Regression, SpanContrastive, SupervisedContrastive
from research.ranks import of_all_ranks
from research.step import Clean, Step

PARTS = [slice(0, 5), slice(5, 8)]  # unequal, so that one rank pads what it sends
LABELS = [0, 1, 1, 0, 1, 0, 0, 2]


class Trained(nn.Module):
    """What a strategy wraps: a student and its objectives."""

    def __init__(self, student: Any, objectives: Any) -> None:
        super().__init__()
        self.student, self.objectives, self.teacher = student, objectives, EMATeacher()
        self.teacher.follow(student)

    def forward(self, name: str, batch: Batch) -> torch.Tensor:
        objective: Any = self.objectives[name]
        return objective(Step({"s": batch}, self.student, self.teacher, {"s": objective.views()}))


def results(module: nn.Module, batch: Batch) -> dict[str, tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """The loss of each objective and its gradient by parameter."""
    bare: Any = module.module if hasattr(module, "module") else module
    out = {}
    for name in bare.objectives:
        module.zero_grad()
        loss = module(name, batch)
        loss.backward()
        out[name] = loss.detach(), {n: p.grad.clone() for n, p in bare.named_parameters() if p.grad is not None}
    return out


def part(batch: Batch, rows: slice) -> Batch:
    """Some rows, without the columns that are padding in all of them."""
    views = {}
    for view, tokens in batch.views.items():
        length = int(tokens.mask[rows].sum(1).max())
        types = None if tokens.types is None else tokens.types[rows, :length]
        views[view] = Tokens(tokens.ids[rows, :length], tokens.mask[rows, :length], types=types)
    return Batch(views, batch.labels[rows])


def regression_figures(student: Any, batch: Batch) -> dict[str, float]:
    """Of a head with weights of ones, against the labels as numbers."""
    batch = Batch(batch.views, batch.labels.double())
    objective = Regression("s")
    student.add_head("s", 1)
    torch.nn.init.ones_(student.heads["s"].linear.weight)
    student.double().eval()
    with torch.no_grad():
        objective.measure(Step({"s": batch}, student, None, {"s": objective.views()}))
    return objective.results()


def rank_main(rank: int, folder: Path) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(PARTS))
    student, objectives, batch = torch.load(folder / "whole.pt", weights_only=False)
    use_blocked_attention(student.model)  # a process has to know it by name
    module = Trained(student, objectives)
    wrapped = nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
    found = results(wrapped, part(batch, PARTS[rank]))
    dealt = torch.arange(7)[rank::2, None]
    assert of_all_ranks(dealt).flatten().tolist() == list(range(7)), "in the order of the batch"
    figures = regression_figures(student, part(batch, PARTS[rank]))
    torch.save((found, objectives["queue"].queue, figures), folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_equal_one(tiny: Any, texts: list[str], batch_of: Any, tmp_path: Path) -> None:
    student = tiny("bert")
    objectives: dict[str, Any] = {
        "dropout": Contrastive("s", 0.5, mlp=True),
        "negatives": Contrastive("s", 0.5, hard_negative=AnchorSpan(2, 6)),
        "classes": SupervisedContrastive("s", 0.5, other_view=Clean(1), projection=8),
        "spans": SpanContrastive("s", 0.5, anchors=2, positives=2, shortest=2, longest=6),
        "queue": MomentumContrast("s", 0.5, queue=10),
    }
    for objective in objectives.values():
        objective.build(student, {"s": StreamInfo("classify", ("a", "b", "c"))})
        objective.double()
    views = dict.fromkeys(view for objective in objectives.values() for view in objective.views())
    batch = batch_of(student, texts, list(views), LABELS)
    objectives["queue"].queue[:2] = torch.nn.functional.normalize(torch.randn(2, student.width).double())
    modules = nn.ModuleDict(objectives)
    torch.save((student, modules, batch), tmp_path / "whole.pt")

    command = [sys.executable, __file__, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(len(PARTS))]
    expected = results(Trained(student, modules), batch)
    for process in ranks:
        assert process.wait(timeout=300) == 0
    (first, queue, figures), (second, other_queue, others) = (torch.load(tmp_path / f"rank{r}.pt") for r in range(2))

    for name, (loss, gradients) in expected.items():
        mean = (first[name][0] + second[name][0]) / 2
        if name == "queue":  # each rank's mean over its own rows
            continue
        torch.testing.assert_close(first[name][0], loss, rtol=0, atol=1e-6)
        torch.testing.assert_close(mean, loss, rtol=0, atol=1e-6)
        assert loss > 0.01 and gradients
        for parameter, gradient in gradients.items():
            torch.testing.assert_close(first[name][1][parameter], gradient, rtol=0, atol=1e-6)
            torch.testing.assert_close(second[name][1][parameter], gradient, rtol=0, atol=1e-6)
    assert torch.equal(queue, other_queue)
    torch.testing.assert_close(queue, objectives["queue"].queue, rtol=0, atol=1e-6)
    assert figures == others == pytest.approx(regression_figures(student, batch), rel=1e-5)
    assert all(abs(value) > 0.01 for value in figures.values()), "figures that could be wrong"


if __name__ == "__main__":
    rank_main(int(sys.argv[2]), Path(sys.argv[1]))
