"""The tables of a grid in Markdown and CSV."""

import csv
import io
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from research.ablation.reporting.analysis import Analysis, Arm
from research.ablation.reporting.layout import ARROWS, DETAILS, Cell, Layout, name, number
from research.ablation.reporting.statistics import interval

MARKS = {1: " ▲", 0: "", -1: " ▼"}


def markdown(layout: Layout) -> str:
    """All tables, with links to the runs from the folder of the results."""
    analysis = layout.analysis
    head = [*(layout.axes or ["arm"]), *(f"{c} {ARROWS[analysis.metrics[c.metric]]}" for c in layout.columns)]
    rows = [
        [*labels(layout, row), *map(_markdown_cell, cells)]
        for row, cells in zip(layout.rows, layout.cells, strict=True)
    ]
    parts = [f"# {title(analysis)}", told(analysis), *_pipes(head, rows), "\n".join(f"- {n}" for n in layout.notes())]
    for metric in analysis.metrics:
        parts += [f"## {layout.headed(metric)}", *_pipes(DETAILS, layout.details(metric))]
    parts += ["## Runs", "Seconds of training and peak memory are means. SEED stands for the seed of each run."]
    rows = []
    for arm, runs in analysis.arms.items():
        seconds, memory = mean_cost(analysis, arm, "seconds"), mean_cost(analysis, arm, "peak_memory_gb")
        rows.append([name(arm), number(seconds, 1), number(memory, 2), *_links(runs), f"`{repeat(runs)}`"])
    parts += _pipes(["arm", "seconds", "memory (GB)", "folders by seed", "keys", "again"], rows)
    return "\n\n".join(parts) + "\n"


def comma_separated(analysis: Analysis) -> str:
    """A line an arm and metric, figures as measured."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([
        *analysis.axes, "metric", "direction", "asked", "failed", "seeds", "mean", "standard_deviation", "low", "high",
        "baseline", "difference", "difference_low", "difference_high", "p", "p_holm", "seeds_compared", "examples",
        "d_z", "seeds_needed", "training_seconds", "tokens", "peak_memory_gb", "done", "keys", "runs",
    ])  # fmt: skip
    for arm, runs in analysis.arms.items():
        for metric, direction in analysis.metrics.items():
            figures, apart = analysis.figures(arm, metric), analysis.comparisons.get((arm, metric))
            of = interval(list(figures.values())) if figures else None
            line: list[Any] = [*arm, metric, direction, len(analysis.seeds), analysis.failed(arm, metric)]
            line += [of.n, of.mean, of.deviation, of.low, of.high] if of else [0, *[None] * 4]
            line += [
                name(apart.baseline), apart.difference, apart.low, apart.high, apart.p, apart.corrected, apart.seeds,
                apart.examples, apart.effect, apart.needed,
            ] if apart else [None] * 10  # fmt: skip
            line += [mean_cost(analysis, arm, part) for part in ("seconds", "tokens", "peak_memory_gb")]
            line += [" ".join(map(str, figures)), *(" ".join(run[part] for run in runs) for part in ("key", "run"))]
            writer.writerow(line)
    return file.getvalue()


def title(analysis: Analysis) -> str:
    """The grid by its folder, or its file where that is not ``grid.yaml``."""
    path = Path(analysis.header["grid"])
    return path.parent.name if path.stem == "grid" and path.parent.name else path.stem


def told(analysis: Analysis) -> str:
    """Where the figures come from."""
    header = analysis.header
    commits = dict.fromkeys(run["commit"] for arm in analysis.arms for run in analysis.done(arm) if run.get("commit"))
    at = f" at commit {', '.join(commits)}" if commits else ""
    return f"`{header['command']}`{at}; {header['grid']}, seeds {', '.join(map(str, analysis.seeds))}."


def labels(layout: Layout, row: Arm) -> list[str]:
    """A row's value of each axis; what makes it the baseline of others says so."""
    if not row:
        return ["base"]
    chosen = layout.analysis.header["baseline"] if layout.is_baseline(row) else {}
    return [f"{v} (baseline)" if axis in chosen else v for axis, v in zip(layout.axes, row, strict=True)]


def repeat(runs: Sequence[dict[str, Any]]) -> str:
    """The command that runs an arm again; SEED where it takes the seed, {...} where runs differ in another way."""
    seeds = tuple(str(run["seed"]) for run in runs)

    def told(values: tuple[str, ...]) -> str:
        if len({*values}) == 1:
            return shlex.quote(values[0])
        return "SEED" if values == seeds else f"{{{','.join(map(shlex.quote, values))}}}"

    every = zip(*(run["options"] for run in runs), strict=True)
    return " ".join(["python -m research.cli fit", *map(told, every)])


def mean_cost(analysis: Analysis, arm: Arm, part: str) -> float | None:
    """None if no run is done."""
    return interval(costs).mean if (costs := analysis.cost(arm, part)) else None


def link(run: Mapping[str, Any]) -> str:
    """The address of a run's folder, in a page or table beside the results."""
    return quote(run["run"])


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return "left out"
    text = (f"**{cell.text}**" if cell.best else cell.text) + MARKS[cell.sign]
    return f"{text} ({cell.remark})" if cell.remark else text


def _links(runs: Iterable[dict[str, Any]]) -> tuple[str, str]:
    shown = [f"[{run['seed']}]({link(run)})" + (f" {run['status']}" * (run["status"] != "done")) for run in runs]
    return ", ".join(shown), ", ".join(run["key"] for run in runs)


def _pipes(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, or nothing if it has no rows."""
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in (head, *rows)]
    return ["\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])] if lines[1:] else ["No run is done."]


def escaped(cell: str) -> str:
    """A bar would end the cell, and what looks like a tag would not be shown; between backticks it is."""
    return re.sub(r"\|" if cell.startswith("`") else r"\||<(?=[a-zA-Z/!?])", r"\\\g<0>", cell)
