"""From the figures of the runs to tables."""

from statistics import mean, stdev
from typing import Any

import numpy as np
from scipy.stats import t as student_t

HYBRID = "hybrid"


def interval(values: list[float]) -> str:
    """The mean in percent, with half the width of its 95% interval over seeds by Student's t."""
    if len(values) == 1:
        return f"{100 * values[0]:.1f}"
    half = float(student_t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return f"{100 * mean(values):.1f} ± {100 * half:.1f}"


def resampled(difference: np.ndarray, draws: int = 10_000) -> tuple[float, float, float]:
    """The 95% interval of the mean of differences (seeds, texts), and a two-sided p: the bootstrap over both at once.

    Each draw takes as many seeds and as many texts as there are, with replacement (Owen 2007, arXiv:0712.1111).
    """
    rng, (seeds, texts) = np.random.default_rng(0), difference.shape
    means = np.empty(draws)
    for i in range(draws):
        rows = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds)
        columns = np.bincount(rng.integers(texts, size=texts), minlength=texts)
        means[i] = rows @ difference @ columns / (seeds * texts)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    return float(low), float(high), float(min(1.0, 2 * (tail * draws + 1) / (draws + 1)))


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
    for set_, arms in results["test"].items():
        others = [arm for arm in arms if arm != HYBRID]
        if HYBRID not in arms or not others:
            continue
        best = max(others, key=lambda arm: mean(accuracy[set_][arm]))
        difference = digits(arms[HYBRID]) - digits(arms[best])
        low, high, p = resampled(difference)
        lines.append(
            f"| {set_} | {best} | {100 * difference.mean():+.1f} | {100 * low:+.1f} to {100 * high:+.1f} | {p:.4f} |"
        )
    return "\n".join([
        *lines, "",
        "Accuracy in percent: mean over seeds and half the width of its 95% interval (Student's t). The last table "
        "pairs both arms by seed and text, and draws seeds and texts anew.",
    ])  # fmt: skip


def grid(figures: dict[str, dict[str, list[float]]], shown: Any) -> list[str]:
    """A row an arm, a column a set."""
    arms = dict.fromkeys(arm for of in figures.values() for arm in of)
    lines = [f"| arm | {' | '.join(figures)} |", "|---|" + "---|" * len(figures)]
    for arm in arms:
        lines.append(f"| {arm} | {' | '.join(shown(of[arm]) if arm in of else '-' for of in figures.values())} |")
    return lines
