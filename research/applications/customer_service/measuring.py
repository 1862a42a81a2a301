"""The figures of an arm and a seed, from what it said; all is chosen on other messages than those it is tested on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.applications.customer_service.faq import Index, faq
from research.applications.customer_service.scoring import Scores
from research.applications.customer_service.splits import FAR, Messages
from research.inference.decisions.calibration import Temperature, softmax
from research.inference.decisions.fitting import Wanted, aurocs, calibration_error, detector, scope
from research.inference.decisions.risk import aurc, coverage_risk
from research.inference.decisions.rules import Confidence
from research.inference.decisions.scope import DETECTORS
from research.inference.decisions.scored import Scored

OUTSIDE = ("near", *FAR)


def measured(
    arrays: Scores, labelled: dict[str, Messages], near: Messages, known: Sequence[str], risk: float
) -> dict[str, Any]:
    """Accuracy, calibration, abstaining, refusal, retrieval and latency of one arm.

    Args:
        arrays: what it said.
        labelled: messages of known intents by split.
        near: of intents that were held out, to test with.
        known: the labels in the order of the logits.
        risk: the share of answers that may be wrong.
    """
    sets = {name: of_set(arrays, name, messages, known) for name, messages in labelled.items()}
    return {
        **classified(sets["validation"], sets["test"], risk),
        **refused(arrays, sets),
        **retrieved(arrays, labelled, near, known),
        "latency/p50": 1000 * float(np.quantile(arrays["latency"], 0.5)),
        "latency/p95": 1000 * float(np.quantile(arrays["latency"], 0.95)),
    }


def of_set(arrays: Scores, name: str, messages: Messages, known: Sequence[str]) -> Scored:
    """The scores of one set of messages, with their intents' numbers among the known."""
    labels = np.array([known.index(intent) for _, intent in messages])
    return Scored(arrays[f"{name}/logits"], arrays[f"{name}/embeddings"], labels)


def classified(validation: Scored, test: Scored, risk: float) -> dict[str, float]:
    """In scope, and with the answers that are sure enough for the risk by the validation messages."""
    temperature = Temperature.fit(validation.logits, validation.labels)
    before, after = softmax(test.logits), temperature(test.logits)
    right = after.argmax(1) == test.labels
    sure = Confidence.fit(temperature(validation.logits), validation.labels, risk)(after) >= 0
    return {
        "accuracy": float(right.mean()),
        "calibration_error/before": calibration_error(before, test.labels),
        "calibration_error/after": calibration_error(after, test.labels),
        "temperature": temperature.value,
        "sure/coverage": float(sure.mean()),
        "sure/risk": float(1 - right[sure].mean()) if sure.any() else 0.0,
        "aurc": aurc(after.max(1), right),
    }


def curve(arrays: Scores, labelled: dict[str, Messages], known: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk (N,) on the test messages."""
    validation, test = (of_set(arrays, name, labelled[name], known) for name in ("validation", "test"))
    probabilities = Temperature.fit(validation.logits, validation.labels)(test.logits)
    return coverage_risk(probabilities.max(1), probabilities.argmax(1) == test.labels)


def refused(arrays: Scores, sets: dict[str, Scored]) -> dict[str, Any]:
    """AUROC of each detector on each set out of scope, and what the one chosen on the development intents does."""
    outside = {name: outside_of(arrays, name) for name in ("development", *OUTSIDE)}
    detectors = {name: detector(name, sets["train"]) for name in DETECTORS}
    out: dict[str, Any] = {
        f"auroc/{name}/{each}": value
        for each in OUTSIDE
        for name, value in aurocs(detectors, sets["test"], outside[each]).items()
    }
    chosen = scope(Wanted(detectors=list(DETECTORS)), sets["train"], sets["validation"], outside["development"])
    assert chosen is not None
    out["detector"] = next(name for name, one in detectors.items() if type(one) is type(chosen.detector))
    test = sets["test"]
    out["scope/kept"] = float((chosen.detector(test.logits, test.embeddings) >= chosen.least).mean())
    for each in OUTSIDE:
        out[f"auroc/chosen/{each}"] = out[f"auroc/{out['detector']}/{each}"]
        out[f"scope/refused/{each}"] = float((chosen.detector(*outside[each]) < chosen.least).mean())
    return out


def outside_of(arrays: Scores, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and embeddings of messages that no known intent covers."""
    return arrays[f"{name}/logits"], arrays[f"{name}/embeddings"]


def retrieved(arrays: Scores, labelled: dict[str, Messages], near: Messages, known: Sequence[str]) -> dict[str, float]:
    """How the right FAQ entry ranks: of known intents among theirs, and of intents never trained on among all."""
    questions = dict(zip(faq(), arrays["faq/embeddings"], strict=True))
    trained = labelled["train"], arrays["train/embeddings"]
    out = {}
    for name, intents, messages in (("test", known, labelled["test"]), ("near", list(questions), near)):
        index = Index({intent: questions[intent] for intent in intents}, *trained)
        ranks = index.ranks(arrays[f"{name}/embeddings"], [intent for _, intent in messages])
        out[f"faq/{name}/recall@1"] = float((ranks == 1).mean())
        out[f"faq/{name}/mrr"] = float((1 / ranks).mean())
    return out
