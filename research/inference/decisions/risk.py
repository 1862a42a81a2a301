"""What abstaining buys: of the surest answers, how many are wrong (El-Yaniv & Wiener 2010)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def coverage_risk(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage n / N and the share of errors among the n surest, for n = 1 to N, of confidence (N,) and right (N,)."""
    wrong = ~np.asarray(right, bool)[np.argsort(-confidence, kind="stable")]
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), wrong.cumsum() / answered


def aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """The area under that curve, in [0, 1]; lower is better (Geifman et al. 2019, arXiv:1805.08206)."""
    return float(coverage_risk(confidence, right)[1].mean())


def coverage_at(risk: float, confidence: np.ndarray, right: np.ndarray) -> float:
    """The largest coverage whose share of errors is at most ``risk``; 0 if none is."""
    coverage, risks = coverage_risk(confidence, right)
    return float(max(coverage[risks <= risk], default=0.0))


def draw_coverage_risk(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], out: Path, title: str) -> None:
    """Draw curves of coverage and risk by their names."""
    from research.evaluation.plot import MARKS, canvas, plain, save

    figure, axes = canvas()
    for i, (name, (coverage, risk)) in enumerate(curves.items()):
        axes.plot(coverage, risk, MARKS[i % 4], label=plain(name))
    axes.set(xlabel="coverage (share of texts answered)", ylabel="risk (share of answers that are wrong)",
             xlim=(0, 1), ylim=(0, None), title=plain(title))  # fmt: skip
    save(figure, axes, out)
