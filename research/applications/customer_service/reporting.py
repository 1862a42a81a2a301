"""``results.json``, ``results.md`` and ``risk.png``, from the figures of all arms and seeds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from research.ablation.reporting import statistics
from research.applications.customer_service.splits import FAR
from research.files import write_whole
from research.inference.decisions.risk import draw_coverage_risk
from research.inference.decisions.scope import DETECTORS

HERE = Path(__file__).parent
PERCENT = {
    "What is in scope": {
        "accuracy": "accuracy",
        "calibration_error/before": "calibration error",
        "calibration_error/after": "with temperature",
        "aurc": "AURC",
        "sure/coverage": "coverage, where sure",
        "sure/risk": "risk, where sure",
    },
    "Out of scope: AUROC of the detector chosen on the development intents": {
        "auroc/chosen/near": "held-out intents",
        **{f"auroc/chosen/{name}": name for name in FAR},
    },
    "Out of scope: by the threshold chosen with it": {
        "scope/kept": "in scope kept",
        "scope/refused/near": "held-out intents refused",
        **{f"scope/refused/{name}": f"{name} refused" for name in FAR},
    },
    "Out of scope: AUROC on held-out intents by detector": {f"auroc/{name}/near": name for name in DETECTORS},
    "FAQ": {
        "faq/test/recall@1": "recall@1",
        "faq/test/mrr": "MRR",
        "faq/near/recall@1": "held-out intents: recall@1",
        "faq/near/mrr": "MRR of these",
    },
}
MILLISECONDS = {"latency/p50": "p50", "latency/p95": "p95"}
CLOSE = ("accuracy", "auroc/chosen/near", "aurc", "faq/test/recall@1")  # what the deployed arm is compared by


def write(results: Mapping[str, Any], curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Write all three; returns the tables."""
    text = report(results)
    write_whole(HERE / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(HERE / "results.md", text)
    draw_coverage_risk(curves, HERE / "risk.png", f"coverage and risk on the test messages, seed {results['seeds'][0]}")
    return text


def report(results: Mapping[str, Any]) -> str:
    """Tables of means over seeds with their 95% intervals, and the deployed arm against the others."""
    arms, deployed = results["arms"], results["deployed"]
    lines = [f"Commit {results['commit']}: `{results['command']}`, config.yaml, seeds {results['seeds']}.", ""]
    for title, columns in PERCENT.items():
        lines += [f"### {title}", "", *table(arms, columns, 100, 1), ""]
    chosen = {arm: ", ".join(run["detector"] for run in runs) for arm, runs in arms.items()}
    lines += ["Detectors chosen, by seed: " + "; ".join(f"{arm} {names}" for arm, names in chosen.items()) + ".", ""]
    lines += ["### Milliseconds for one message, one thread", "", *table(arms, MILLISECONDS, 1, 2), ""]
    if len(results["seeds"]) > 1:
        lines += [f"### {deployed} less the others, in points, paired by seed", ""]
        lines += [f"| other | {' | '.join(CLOSE)} |", "|---|" + "---|" * len(CLOSE)]
        for arm in arms:
            if arm != deployed:
                cells = [difference(arms[deployed], arms[arm], name) for name in CLOSE]
                lines.append(f"| {arm} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([
        *lines,
        "In percent but for milliseconds: mean over seeds and half the width of its 95% interval (Student's t). "
        "`Sure` answers are those whose risk on the validation messages is at most "
        f"{100 * results['risk']:g}%. Load of the machine while the latencies were measured, by seed: "
        f"{', '.join(f'{load:.1f}' for load in results['load'])}.",
        "",
    ])  # fmt: skip


def table(arms: Mapping[str, Any], columns: Mapping[str, str], factor: float, digits: int) -> list[str]:
    """Lines of Markdown, an arm a row: the mean over seeds of ``factor`` times each figure, with its interval."""
    lines = [f"| arm | {' | '.join(columns.values())} |", "|---|" + "---|" * len(columns)]
    for arm, runs in arms.items():
        cells = [shown([factor * run[name] for run in runs], digits) for name in columns]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines


def difference(ours: Any, theirs: Any, name: str) -> str:
    """How much larger a figure of ours is over paired seeds, in hundredths, with its interval."""
    return shown([100 * (a[name] - b[name]) for a, b in zip(ours, theirs, strict=True)], 1, "+")


def shown(values: list[float], digits: int, sign: str = "") -> str:
    of = statistics.interval(values)
    half = "" if of.half is None else f" ± {of.half:.{digits}f}"
    return f"{of.mean:{sign}.{digits}f}{half}"
