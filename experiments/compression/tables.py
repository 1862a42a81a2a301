"""The tables and the plot of what run.py has measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from research.ablation.reporting import statistics
from research.evaluation.plot import panels, save

FIRST = "6 layers"  # the uncompressed teacher, by which all are measured
GOALS = ((0.25, 0.97), (0.10, 0.93))  # of its size at most, and of its accuracy at least
FASTER = 4  # times, at least
ABOUT = (
    "Accuracies in percent: mean over seeds and half the width of its 95% interval (Student's t). Sizes are of weights "
    "and tokenizer on disk. Milliseconds of processor time on one core for a text of the development split, from the "
    "string to the logits, median, and peak memory of the process: of seed {seed}."
)

Found = dict[str, Any]
"""By the student's name its ``seeds`` (accuracy on both splits, size, parameters), milliseconds and memory."""


def shares(found: Found, name: str, figure: str) -> list[float]:
    """A figure of each seed beside that of the uncompressed teacher of the same seed."""
    pairs = zip(found[name]["seeds"], found[FIRST]["seeds"], strict=True)
    return [one[figure] / first[figure] for one, first in pairs]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def faster(found: Found, name: str) -> float:
    times: float = found[FIRST]["milliseconds"] / found[name]["milliseconds"]
    return times


def chosen(found: Found, size: float, keeps: float) -> str | None:
    """Of all that are small and fast enough, and keep enough on the development split, the best on it."""
    fit = [
        name
        for name in found
        if mean(shares(found, name, "size")) <= size
        and mean(shares(found, name, "validation")) >= keeps
        and faster(found, name) >= FASTER
    ]
    return max(fit, key=lambda name: mean(shares(found, name, "validation")), default=None)


def percent(values: list[float]) -> str:
    of = statistics.interval([100 * value for value in values])
    return f"{of.mean:.1f}" + (f" ± {of.half:.1f}" if of.half is not None else "")


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(*names: str) -> list[str]:
    return [row(list(names)), "|" + "---|" * len(names)]


def goals(tasks: dict[str, Found]) -> list[str]:
    """What is chosen on the development split for each goal, and how it does on the test split."""
    lines = heading("task", "goal", "chosen on the development split", "size", "accuracy (test)", "of the teacher's",
                    "times as fast")  # fmt: skip
    for task, found in tasks.items():
        for size, keeps in GOALS:
            cells = [task, f"{size:.0%} of the size, {keeps:.0%} of the accuracy, {FASTER} times as fast"]
            if (name := chosen(found, size, keeps)) is None:
                lines.append(row([*cells, "none fits there", "", "", "", ""]))
                continue
            test = percent([one["test"] for one in found[name]["seeds"]])
            kept, part = percent(shares(found, name, "test")), f"{mean(shares(found, name, 'size')):.1%}"
            lines.append(row([*cells, name, part, test, kept, f"{faster(found, name):.1f}"]))
    return lines


def table(found: Found) -> list[str]:
    """A row a student."""
    lines = heading("student", "MB", "of the teacher's (%)", "parameters (M)", "ms", "times as fast", "memory (MB)",
                    "development", "test", "of the teacher's (test)")  # fmt: skip
    for name, one in found.items():
        size, count = (mean([seed[figure] for seed in one["seeds"]]) / 1e6 for figure in ("size", "parameters"))
        development, test = (percent([seed[split] for seed in one["seeds"]]) for split in ("validation", "test"))
        lines.append(
            row([name, f"{size:.2f}", f"{100 * mean(shares(found, name, 'size')):.1f}", f"{count:.2f}",
                 f"{one['milliseconds']:.2f}", f"{faster(found, name):.1f}", f"{one['memory'] / 1e6:.0f}",
                 development, test, percent(shares(found, name, "test"))])
        )  # fmt: skip
    return lines


def report(results: dict[str, Any]) -> str:
    """All tables, and where they come from."""
    lines = ["## Goals", "", *goals(results["tasks"])]
    for task, found in results["tasks"].items():
        lines += ["", f"## {task}", "", *table(found)]
    about = results["machine"]
    return "\n".join([
        *lines, "", ABOUT.format(seed=results["seeds"][0]), "",
        f"{about['cpu']}, {about['instructions']}, torch {about['torch']}. Commit {results['commit']}: "
        f"`{results['command']}`, seeds {results['seeds']}; configs: base.yaml and student.yaml here, those of the "
        "tasks and of the teacher in ../distillation.",
    ])  # fmt: skip


def draw(results: dict[str, Any], students: list[str], path: Path) -> None:
    """Test accuracy against size and against time, two panels a task."""
    page, axes = panels(2 * len(results["tasks"]))
    places = iter(axes)
    figures: dict[str, Callable[[Any], float]] = {
        "size (MB)": lambda one: mean([seed["size"] for seed in one["seeds"]]) / 1e6,
        "milliseconds for a text": lambda one: one["milliseconds"],
    }
    for task, found in results["tasks"].items():
        for label, of in figures.items():
            panel = next(places)
            for student, mark in zip(students, "osv^", strict=True):
                rows = [one for name, one in found.items() if name.startswith(student)]
                test = [100 * mean([seed["test"] for seed in one["seeds"]]) for one in rows]
                panel.plot([of(one) for one in rows], test, mark, label=student)
            panel.set_xscale("log")
            panel.set_xlabel(label)
            panel.set_ylabel(f"{task}: test accuracy (%)")
            panel.grid(alpha=0.3)
    save(page, axes[-1], path)
