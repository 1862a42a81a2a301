"""Which training examples speak for an answer, and which against it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.errors import UserError
from research.inference.model import Model


class Influence:
    """TracInCP of the task's head (Pruthi et al. 2020, arXiv:2002.08484), with a learning rate of 1.

    ``sum over checkpoints of grad l(example) . grad l(text)``, of the cross entropy l by the weights and biases of the
    linear head. With errors ``e = softmax(logits) - onehot(label)`` and embeddings h it is ``(e . e') (h . h' + 1)``:
    what a step of gradient descent on the example would have taken from the loss of the text. It is above 0 for an
    example that speaks for the text's label. All else that training moves is left out.

    Args:
        models: checkpoints of one run.
        texts: N examples that they were trained on.
        labels: of each.
        task: of problem ``classify``; may be left out where there is one.

    Raises:
        UserError: for a label that the task does not have, or a task without a linear head of its own.
    """

    def __init__(self, models: Sequence[Model], texts: Sequence[str], labels: Sequence[str], task: str | None = None):
        self.models, self.task = models, models[0].task(task, "classify")
        self.known = list(models[0].streams[self.task].labels)
        if any(self.task in model.deciding or self.task not in model.student.heads for model in models):
            raise UserError(f"task {self.task}: it has no linear head, whose gradients influence is told by")
        self.texts, self.labels = texts, labels
        self.examples = self._gradients(texts, labels)

    def of(self, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """The influence (M, N) of each example on M texts, taken to have these labels."""
        pairs = zip(self._gradients(texts, labels), self.examples, strict=True)
        return sum(
            ((e @ f.T) * (h @ k.T) for (e, h), (f, k) in pairs), np.zeros((len(texts), len(self.examples[0][0])))
        )

    def strongest(self, text: str, label: str, count: int) -> dict[str, list[dict[str, Any]]]:
        """The examples that speak most ``for`` a text's label, and most ``against`` it, the strongest first."""
        weights = self.of([text], [label])[0]
        order = np.argsort(-weights, kind="stable")
        return {
            side: [{"text": self.texts[i], "label": self.labels[i], "influence": float(weights[i])} for i in places]
            for side, places in (("for", order[:count]), ("against", order[::-1][:count]))
        }

    def own(self) -> np.ndarray:
        """The influence (N,) of each example on itself, which is high for outliers and wrong labels."""
        return np.sum([(e**2).sum(1) * (h**2).sum(1) for e, h in self.examples], axis=0)

    def _gradients(self, texts: Sequence[str], labels: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each checkpoint the errors (n, C), and the embeddings with a 1 for the bias (n, H + 1)."""
        for label in labels:
            if label not in self.known:
                raise UserError(f"task {self.task}: has no label '{label}'; there are {', '.join(self.known)}")
        wanted = np.eye(len(self.known))[[self.known.index(label) for label in labels]]
        found = []
        for model in self.models:
            logits, embeddings = (each.astype(np.float64) for each in model.scores(texts, self.task))
            p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
            found.append((p - wanted, np.hstack([embeddings, np.ones((len(texts), 1))])))
        return found
