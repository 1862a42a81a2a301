"""``decisions.md`` and ``decisions.png``: what was fitted, and what it is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.files import write_whole
from research.inference.decisions.calibration import Temperature, softmax
from research.inference.decisions.decisions import Decisions
from research.inference.decisions.fitting import Wanted, aurocs, crossfitted, detector, figures
from research.inference.decisions.risk import coverage_risk, draw_coverage_risk
from research.inference.decisions.scored import Scored

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Measured:
    """Figures by their names, and coverage and risk (N,) before and after."""

    figures: dict[str, Any]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]


def measured(
    wanted: Wanted,
    decisions: Decisions,
    train: Scored,
    validation: Scored,
    outside: tuple[np.ndarray, np.ndarray] | None,
    risk: float,
) -> Measured:
    """The validation examples by the softmax (before), and by decisions fitted to the others of them (after)."""
    softly = softmax(validation.logits)
    probabilities, choices = crossfitted(wanted, validation)
    labels = validation.labels
    found: dict[str, Any] = {
        "examples": len(labels),
        "before": figures(softly, labels, softly.argmax(1), risk),
        "after": figures(probabilities, labels, choices, risk),
    }
    if wanted.costs is not None:
        found["before"]["mean cost"] = wanted.costs.paid(labels, softly.argmax(1))
        found["after"]["mean cost"] = wanted.costs.paid(labels, choices)
    if isinstance(decisions.calibration, Temperature):
        found["temperature"] = decisions.calibration.value
    if decisions.scope is not None:
        inside = decisions.scope.detector(validation.logits, validation.embeddings) >= decisions.scope.least
        found["scope"] = {"detector": type(decisions.scope.detector).__name__, "kept": float(inside.mean())}
        if outside is not None:
            found["scope"]["refused"] = float((decisions.scope.detector(*outside) < decisions.scope.least).mean())
            known = {name: detector(name, train) for name in wanted.detectors}
            found["scope"]["auroc"] = aurocs(known, validation, outside)
    curves = {
        name: coverage_risk(p.max(1), p.argmax(1) == labels)
        for name, p in (("before", softly), ("after", probabilities))
    }
    return Measured(found, curves)


def report(found: Measured, decisions: Path, task: str, told: Mapping[str, Any]) -> str:
    """Write both files beside ``decisions``; returns the text."""
    of = found.figures
    lines = [f"## Decisions for {task}", "", f"`{told['command']}`, commit {told['commit']}.", ""]
    lines += [f"| {of['examples']} validation texts | before | after (5-fold) |", "|---|---|---|"]
    lines += [f"| {name} | {of['before'][name]:.4f} | {value:.4f} |" for name, value in of["after"].items()]
    lines += ["", "| coverage | risk before | risk after |", "|---|---|---|"]
    for coverage in COVERAGES:
        risks = [risk[int(np.ceil(coverage * len(risk))) - 1] for _, risk in found.curves.values()]
        lines.append(f"| {coverage:.1f} | {' | '.join(f'{risk:.4f}' for risk in risks)} |")
    if "temperature" in of:
        lines += ["", f"Temperature {of['temperature']:.4f}."]
    if scope := of.get("scope"):
        lines += ["", f"Out of scope by {scope['detector']}, which keeps {scope['kept']:.4f} of these texts."]
    if scope and "auroc" in scope:
        lines += [
            "",
            f"It refuses {scope['refused']:.4f} of the texts outside.",
            "",
            "| detector | AUROC |",
            "|---|---|",
        ]
        lines += [f"| {name} | {value:.4f} |" for name, value in scope["auroc"].items()]
    path = decisions.with_suffix(".png")
    draw_coverage_risk(found.curves, path, f"{task}: coverage and risk")
    text = "\n".join(lines) + "\n"
    write_whole(decisions.with_suffix(".md"), text)
    return f"{text}\nWritten to {decisions}, with decisions.md and decisions.png"
