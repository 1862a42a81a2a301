"""From the figures of the runs to tables."""

from statistics import mean
from typing import Any

import numpy as np

from research.ablation.reporting import statistics

HYBRID = "hybrid"


def interval(values: list[float]) -> str:
    """The mean in percent, with half the width of its 95% interval over seeds by Student's t."""
    of = statistics.interval(values)
    return f"{100 * of.mean:.1f}" + (f" ± {100 * of.half:.1f}" if of.half is not None else "")


def digits(entries: list[dict[str, Any]]) -> np.ndarray:
    """(seeds, texts) in {0, 1}: what was right."""
    return np.array([[int(d) for d in entry["right"]] for entry in entries])


def report(results: dict[str, Any]) -> str:
    """The dev accuracies, the test accuracies with STS-B, and the hybrid against the best other arm."""
    lines = [f"Commit {results['commit']}: `{results['command']}`, seeds {results['seeds']}.", "", "### Dev", ""]
    lines += grid(results["dev"], interval)
    if not results["test"]:
        return "\n".join([*lines, "", "Accuracy in percent. No test text was looked at."])
    accuracy = {s: {arm: list(digits(e).mean(1)) for arm, e in arms.items()} for s, arms in results["test"].items()}
    sts = {s: {arm: [one["sts"] for one in e] for arm, e in arms.items()} for s, arms in results["test"].items()}
    lines += ["", "### Test", "", *grid(accuracy, interval)]
    lines += ["", "### STS-B afterwards, mean (least)", "", *grid(sts, lambda v: f"{mean(v):.3f} ({min(v):.3f})")]
    lines += ["", "### The hybrid against the best other arm", ""]
    lines += ["| set | best other | difference in points | 95% interval | p |", "|---|---|---|---|---|"]
    differences = []
    for set_, arms in results["test"].items():
        others = [arm for arm in arms if arm != HYBRID]
        if HYBRID not in arms or not others:
            continue
        best = max(others, key=lambda arm: mean(accuracy[set_][arm]))
        differences.append(digits(arms[HYBRID]) - digits(arms[best]))
        lines.append(f"| {set_} | {best} | {compared(differences[-1])} |")
    if len(differences) > 1:
        lines.append(f"| mean of the sets | the best of each | {compared(of_all(differences))} |")
    return "\n".join([
        *lines, "",
        "Accuracy in percent: mean over seeds and half the width of its 95% interval (Student's t). The last table "
        "pairs both arms by seed and text: the bootstrap over both, with Student's t for few seeds.",
    ])  # fmt: skip


def compared(difference: np.ndarray) -> str:
    """Mean, 95% interval and p of differences (seeds, texts)."""
    low, high, p = statistics.resampled(difference)
    return f"{100 * difference.mean():+.1f} | {100 * low:+.1f} to {100 * high:+.1f} | {p:.4f}"


def of_all(differences: list[np.ndarray]) -> np.ndarray:
    """The sets' (seeds, texts) side by side, scaled so that each set counts as much in their mean."""
    texts = sum(each.shape[1] for each in differences)
    return np.hstack([each * (texts / len(differences) / each.shape[1]) for each in differences])


def grid(figures: dict[str, dict[str, list[float]]], shown: Any) -> list[str]:
    """A row an arm, a column a set."""
    arms = dict.fromkeys(arm for of in figures.values() for arm in of)
    lines = [f"| arm | {' | '.join(figures)} |", "|---|" + "---|" * len(figures)]
    for arm in arms:
        lines.append(f"| {arm} | {' | '.join(shown(of[arm]) if arm in of else '-' for of in figures.values())} |")
    return lines
