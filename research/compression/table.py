"""Models beside the one they were made of: size, time, memory and quality, and which are worth their size."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from research.errors import UserError
from research.evaluation.report import COLUMNS, tables

if TYPE_CHECKING:
    from research.data.task import TaskDataModule
    from research.inference.model import Model
    from research.models.student import Student

ROUNDS = 5  # in each of which all models have their turn
TEXTS = 40  # of a round


@dataclass(frozen=True)
class Row:
    """A model: ``size`` and ``memory`` in bytes, ``milliseconds`` for a text alone, the median, and its quality."""

    name: str
    size: int
    parameters: int
    milliseconds: float
    memory: int
    quality: float


def parameters(student: "Student") -> int:
    """How many numbers a student has learnt, those that are kept in integers too, shared ones once."""
    from research.models.compression.integers import Rounded

    own = sum(parameter.numel() for parameter in student.parameters())
    return own + sum(module.numbers for module in student.modules() if isinstance(module, Rounded))


def quality(model: "Model", data: "TaskDataModule", task: str, split: str) -> tuple[str, float]:
    """Accuracy, macro F1 (multi-label) or Spearman's correlation (regression) on a split of the run.

    Raises:
        UserError: if the run has no such split.
    """
    from scipy.stats import spearmanr  # type: ignore[import-untyped]
    from sklearn.metrics import f1_score

    from research.inference.decisions.scored import scored

    found, problem = scored(model, data, split), model.tasks[task].problem
    if problem == "regress":
        return "Spearman", float(spearmanr(found.logits[:, 0], found.labels).statistic)
    if problem == "multilabel":
        return "macro F1", float(f1_score(found.labels, found.logits > 0, average="macro", zero_division=0.0))
    return "accuracy", float((found.logits.argmax(1) == found.labels).mean())


def measured(checkpoints: Mapping[str, Path], task: str, texts: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Milliseconds for a text alone on one core, and bytes of memory, of each model.

    The milliseconds are the median over rounds of the median over texts, of processor time, which other programs do not
    lengthen by taking turns.
    """
    from tqdm import tqdm  # type: ignore[import-untyped]

    line = [sys.executable, "-m", "research.compression.measure"]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in checkpoints}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(
                subprocess.Popen(
                    [*line, str(checkpoint), task],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    text=True,
                )
            )
            for name, checkpoint in checkpoints.items()
        }
        for place in tqdm(range(ROUNDS + 1), desc="times", disable=None):  # the first is for warming up
            few = [texts[(place * TEXTS + i) % len(texts)] for i in range(TEXTS)]
            for name, process in running.items():
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(few) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer:
                    raise UserError(f"{checkpoints[name]}: cannot be measured; see the lines above")
                found[name].append(json.loads(answer))
        for process in running.values():
            assert process.stdin is not None
            process.stdin.close()
    return {
        name: (1000 * median(median(one["seconds"]) for one in rounds[1:]), rounds[-1]["memory"])
        for name, rounds in found.items()
    }


def worth_it(rows: Sequence[Row]) -> list[bool]:
    """Whether no other row is as small, as fast and as good, and better in one of them (Pareto's front)."""
    figures = np.array([(-row.size, -row.milliseconds, row.quality) for row in rows])
    return [not any((other >= own).all() and (other > own).any() for other in figures) for own in figures]


def figures(row: Row, first: Row) -> tuple[float, ...]:
    """Megabytes, their share of the first's, millions of parameters, milliseconds, how many times as fast as the first,
    megabytes of memory, the quality and its share of the first's."""
    return (
        row.size / 1e6,
        row.size / first.size,
        row.parameters / 1e6,
        row.milliseconds,
        first.milliseconds / row.milliseconds,
        row.memory / 1e6,
        row.quality,
        row.quality / first.quality,
    )


def markdown(rows: Sequence[Row], figure: str) -> str:
    """A table, the first row of which the others are compared with."""
    first = rows[0]
    lines = [
        f"| model | size (MB) | of the first | parameters (M) | ms for a text | times as fast | memory (MB) | {figure} "
        "| of the first | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, worth in zip(rows, worth_it(rows), strict=True):
        size, share, parameters, milliseconds, faster, memory, quality, kept = figures(row, first)
        lines.append(
            f"| {row.name} | {size:.2f} | {share:.1%} | {parameters:.2f} | {milliseconds:.2f} | {faster:.2f} "
            f"| {memory:.0f} | {quality:.4f} | {kept:.1%} | {'front' if worth else ''} |"
        )
    return "\n".join(lines)


def as_text(rows: Sequence[Row], figure: str) -> str:
    """The same for a terminal, a column a model."""
    columns = {}
    for row in rows:
        size, share, parameters, milliseconds, faster, memory, quality, kept = figures(row, rows[0])
        columns[row.name] = {
            "size (MB)": size,
            "of the first (%)": 100 * share,
            "parameters (M)": parameters,
            "ms for a text": milliseconds,
            "times as fast": faster,
            "memory (MB)": memory,
            figure: quality,
            "of the first's (%)": 100 * kept,
        }
    worth = ", ".join(row.name for row, front in zip(rows, worth_it(rows), strict=True) if front)
    told = textwrap.fill(f"no other is as small, as fast and as good: {worth}", COLUMNS, break_on_hyphens=False)
    return f"{tables(columns)}\n\n{told}"


def plot(rows: Sequence[Row], figure: str, path: Path) -> None:
    """Quality against size, and against time; what is worth its size is filled."""
    from research.evaluation.plot import POINTS, panels, plain, save

    page, (by_size, by_time) = panels(2)
    for axes, name, of in (
        (by_size, "size (MB)", lambda row: row.size / 1e6),
        (by_time, "time for a text (ms)", lambda row: row.milliseconds),
    ):
        for i, (row, worth) in enumerate(zip(rows, worth_it(rows), strict=True)):
            filled = "full" if worth else "none"
            axes.plot(of(row), row.quality, POINTS[i % len(POINTS)], fillstyle=filled, label=plain(row.name))
        axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.set_ylabel(figure)
        axes.grid(alpha=0.3)
    save(page, by_time, path)


def as_json(rows: Sequence[Row], figure: str) -> list[dict[str, Any]]:
    """The rows as records, each naming the figure that measures its quality."""
    return [{**asdict(row), "figure": figure} for row in rows]
