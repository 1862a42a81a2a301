"""Decisions from scored examples, and how good they are on examples that they were not fitted to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from research.inference.decisions.calibration import METHODS, Calibration, Temperature
from research.inference.decisions.decisions import Decisions
from research.inference.decisions.risk import aurc, coverage_at
from research.inference.decisions.rules import Confidence, Costs, Rule, Thresholds
from research.inference.decisions.scope import DETECTORS, Detector, Scope, auroc, keeping, parting
from research.inference.decisions.scored import Scored

FOLDS = 5
BINS = 15  # of the expected calibration error, as in training


@dataclass(frozen=True)
class Wanted:
    """What is asked for; :func:`fit` says what each is.

    Args:
        method: of calibration, a key of ``METHODS``; none leaves the softmax.
        detectors: keys of ``DETECTORS``; several need texts out of scope to choose by.
        keep: the share of texts in scope that the scope keeps, where there are no texts out of scope.
        f1: thresholds of the largest macro F1.
        risk: the share of answers that may be wrong; the others are not given.
        costs: of errors and of abstaining.
    """

    method: str | None = "temperature"
    detectors: Sequence[str] = ()
    keep: float = 0.95
    f1: bool = False
    risk: float | None = None
    costs: Costs | None = None


def calibration(method: str | None, examples: Scored) -> Calibration:
    """A calibration fitted to validation; the temperature 1 where no method is asked for."""
    return Temperature() if method is None else METHODS[method].fit(examples.logits, examples.labels)


def rule(wanted: Wanted, probabilities: np.ndarray, labels: np.ndarray) -> Rule:
    """The rule that was asked for, fitted to probabilities shaped (examples, labels) where it has something to fit."""
    if wanted.costs is not None:
        return wanted.costs
    if wanted.f1:
        return Thresholds.fit(probabilities, labels)
    return Confidence() if wanted.risk is None else Confidence.fit(probabilities, labels, wanted.risk)


def detector(name: str, train: Scored) -> Detector:
    """A detector of what is out of scope, fitted to embeddings of training texts where it needs them."""
    kind: Any = DETECTORS[name]
    return kind.fit(train.embeddings, train.labels) if hasattr(kind, "fit") else kind()


def aurocs(
    detectors: Mapping[str, Detector], inside: Scored, outside: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """How well each parts examples in scope from the logits and embeddings of texts that are not."""
    return {name: auroc(one(inside.logits, inside.embeddings), one(*outside)) for name, one in detectors.items()}


def scope(wanted: Wanted, train: Scored, inside: Scored, outside: tuple[np.ndarray, np.ndarray] | None) -> Scope | None:
    """The best of the detectors, with its line: the one that best parts both, or keeps a share of what is in scope."""
    if not wanted.detectors:
        return None
    detectors = {name: detector(name, train) for name in wanted.detectors}
    best = wanted.detectors[0]
    if outside is not None:
        known = aurocs(detectors, inside, outside)
        best = max(known, key=lambda name: known[name])
    scores = detectors[best](inside.logits, inside.embeddings)
    line = keeping(scores, wanted.keep) if outside is None else parting(scores, detectors[best](*outside))
    return Scope(detectors[best], line)


def fit(
    wanted: Wanted,
    labels: tuple[str, ...],
    train: Scored,
    validation: Scored,
    outside: tuple[np.ndarray, np.ndarray] | None = None,
    names: dict[str, str] | None = None,
) -> Decisions:
    """Calibration, rule and line by the validation examples; only Mahalanobis reads the training examples."""
    calibrated = calibration(wanted.method, validation)
    chosen = rule(wanted, calibrated(validation.logits), validation.labels)
    return Decisions(labels, calibrated, chosen, scope(wanted, train, validation, outside), names)


def crossfitted(wanted: Wanted, examples: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) and choices (N,), each by what was fitted to the other four fifths of the examples."""
    from sklearn.model_selection import KFold

    probabilities = np.zeros(examples.logits.shape)
    choices = np.zeros(len(probabilities), int)
    for rest, part in KFold(FOLDS, shuffle=True, random_state=0).split(examples.labels):
        few = Scored(examples.logits[rest], examples.embeddings[rest], examples.labels[rest])
        calibrated = calibration(wanted.method, few)
        probabilities[part] = calibrated(examples.logits[part])
        chosen = rule(wanted, calibrated(few.logits), few.labels)
        choices[part] = chosen(probabilities[part])
    return probabilities, choices


def figures(probabilities: np.ndarray, labels: np.ndarray, choices: np.ndarray, risk: float) -> dict[str, float]:
    """What probabilities (N, C) and choices (N,; -1 for none) are worth where the labels are (N,).

    ``accuracy`` and ``macro_f1`` count an abstention as an error; ``risk`` is the share of errors among the answers,
    ``coverage`` the share of texts that are answered.
    """
    from sklearn.metrics import f1_score

    answered, right = choices >= 0, choices == labels
    sure, likeliest = probabilities.max(1), probabilities.argmax(1) == labels
    classes = list(range(probabilities.shape[1]))
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float(f1_score(labels, choices, labels=classes, average="macro", zero_division=0)),
        "calibration_error": calibration_error(probabilities, labels),
        "negative_log_likelihood": float(-np.log(np.clip(probabilities[range(len(labels)), labels], 1e-12, 1)).mean()),
        "coverage": float(answered.mean()),
        "risk": float(1 - right[answered].mean()) if answered.any() else 0.0,
        "aurc": aurc(sure, likeliest),
        f"coverage at risk {risk:g}": coverage_at(risk, sure, likeliest),
    }


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error over 15 bins, in [0, 1]."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    measure: Callable[..., torch.Tensor] = multiclass_calibration_error
    return float(measure(torch.from_numpy(probabilities), torch.from_numpy(labels), probabilities.shape[1], BINS))
