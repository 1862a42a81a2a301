"""From figures to tables."""

from itertools import combinations
from typing import Any

import numpy as np

from research.ablation.reporting.statistics import interval, resampled

BASE = "random"
FIGURES = ("comprehensiveness", "sufficiency")


def shown(values: list[float]) -> str:
    """The mean and half the width of its 95% interval over seeds (Student's t)."""
    of = interval(values)
    return f"{of.mean:.3f}" + (f" ± {of.half:.3f}" if of.half is not None else "")


def compared(differences: np.ndarray) -> str:
    """The 95% interval of the mean of differences (seeds, examples), and a p."""
    low, high, p = resampled(differences)
    return f"{low:+.3f} to {high:+.3f} (p {p:.2g})"


def report(results: dict[str, Any]) -> str:
    lines: list[str] = []
    if "words" in results:
        lines += ["### Words", "", *_words(results["words"]["figures"]), "", _made(results["words"]), ""]
    if "examples" in results:
        lines += ["### Examples", "", *_examples(results["examples"]["figures"]), "", _made(results["examples"]), ""]
    return "\n".join([
        *lines,
        "Mean over seeds and half the width of its 95% interval (Student's t); differences between methods by the "
        "bootstrap over seeds and questions, with Student's t for few seeds; those of areas seed by seed, by "
        "Student's t. All intervals are of 95%. Seconds are of the processor, a question.",
    ])  # fmt: skip


def _words(figures: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "| method | comprehensiveness (more is better) | above random | sufficiency (less is better) | below random "
        "| seconds |",
        "|---|---|---|---|---|---|",
    ]
    base = {name: np.array([one[name] for one in figures[BASE]]) for name in FIGURES}
    for method, seeds in figures.items():
        cells = []
        for name, sign in zip(FIGURES, (1, -1), strict=True):
            values = np.array([one[name] for one in seeds])
            cells.append(shown([*values.mean(1)]))
            cells.append("-" if method == BASE else compared(sign * (values - base[name])))
        seconds = "-" if method == BASE else shown([one["seconds"] for one in seeds])
        lines.append(f"| {method} | {' | '.join(cells)} | {seconds} |")
    lines += ["", f"| difference | {' | '.join(FIGURES)} |", "|---|---|---|"]
    for second, first in combinations((method for method in figures if method != BASE), 2):
        pairs = [[np.array([one[name] for one in figures[method]]) for method in (first, second)] for name in FIGURES]
        cells = [compared(of_first - of_second) for of_first, of_second in pairs]
        lines.append(f"| {first} less {second} | {' | '.join(cells)} |")
    return lines


def _examples(figures: list[dict[str, float]]) -> list[str]:
    first, rows = next(iter(figures[0])), []
    for name in figures[0]:
        of = interval([one[name] - one[first] for one in figures])
        above = "-" if name == first or of.half is None else f"{of.mean:+.3f} ({of.low:+.3f} to {of.high:+.3f})"
        rows.append(f"| {name} | {shown([one[name] for one in figures])} | {above} |")
    return [f"| wrong labels first, by | area under the curve | above {first} |", "|---|---|---|", *rows]


def _made(part: dict[str, Any]) -> str:
    return f"Commit {part['commit']}: `{part['command']}`, seeds {part['seeds']}."
