"""What is decided of the texts of one task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from research.inference.decisions.calibration import Calibration, Temperature
from research.inference.decisions.rules import NONE, Confidence, Rule
from research.inference.decisions.scope import Scope

OUTSIDE = "out of scope"
UNSURE = "not sure enough"


@dataclass(frozen=True)
class Decisions:
    """From logits and embeddings to answers.

    Args:
        labels: of the task, in the order of the logits.
        calibration: gives the probabilities.
        rule: chooses a label by them, or none.
        scope: knows the texts that have no label of these; without it every text is in scope.
        names: what a label is called to people; without them an answer has no name.
    """

    labels: tuple[str, ...]
    calibration: Calibration = field(default_factory=Temperature)
    rule: Rule = field(default_factory=Confidence)
    scope: Scope | None = None
    names: dict[str, str] | None = None

    def answers(self, logits: np.ndarray, embeddings: np.ndarray) -> list[dict[str, Any]]:
        """One dict for each row of logits (N, C) and embeddings (N, H).

        ``label`` (none with a ``reason``), its ``name`` where labels have names, ``probabilities`` by label, and where
        scope is looked at, ``in_scope`` and the ``scope_score`` that was compared with its threshold.
        """
        probabilities = self.calibration(logits)
        chosen, scores = self.rule(probabilities), None
        if self.scope is not None:
            scores = self.scope.detector(logits, embeddings)
        out = []
        for i, row in enumerate(probabilities.tolist()):
            answer: dict[str, Any] = {"label": None if chosen[i] == NONE else self.labels[chosen[i]]}
            if chosen[i] == NONE:
                answer["reason"] = UNSURE
            if scores is not None and self.scope is not None:
                inside = bool(scores[i] >= self.scope.least)
                if not inside:
                    answer |= {"label": None, "reason": OUTSIDE}
                answer |= {"in_scope": inside, "scope_score": float(scores[i])}
            if self.names is not None and answer["label"] is not None:
                answer["name"] = self.names[answer["label"]]
            out.append({**answer, "probabilities": dict(zip(self.labels, row, strict=True))})
        return out


def named(names: Any, labels: Sequence[str]) -> dict[str, str]:
    """A name for each label and for nothing else.

    Raises:
        ValueError: naming the labels that lack one, or that the task has not.
    """
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError("names are a JSON object of a string a label")
    if unknown := sorted(set(names) - set(labels)):
        raise ValueError(f"labels {', '.join(unknown[:5])} are not of the checkpoint, which has {', '.join(labels)}")
    if missing := [label for label in labels if label not in names]:
        raise ValueError(f"labels {', '.join(missing[:5])} have no name")
    return names
