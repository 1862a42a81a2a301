"""Cross entropy of the tokens that a view wants predicted: what the language-model objectives have in common."""

import math
from abc import abstractmethod

from torch import Tensor

from research.data.batch import IGNORE, Batch, Tokens
from research.objectives.base import Objective
from research.step import Step, View


def labelled(tokens: Tokens) -> Tensor:
    """The number of positions that carry a loss, int64."""
    assert tokens.labels is not None
    return (tokens.labels != IGNORE).sum()


class OfLabels(Objective):
    """Counts the labelled positions of one view, which the subclass gives."""

    @property
    @abstractmethod
    def view(self) -> View:
        """The view whose labels are predicted."""

    def views(self) -> tuple[View, ...]:
        return (self.view,)

    def terms(self, batch: Batch) -> Tensor:
        return labelled(batch.views[self.view])


class TokenPrediction(OfLabels):
    """Mean over the labelled positions t of ``-log p(label_t | hidden_t)``; the subclass gives the view.

    Its metrics are the mean negative log-likelihood in nats a token, and its exponential, the perplexity.
    """

    def forward(self, step: Step) -> Tensor:
        head, labels = step.vocabulary(self.stream, self.view)
        return head.cross_entropy(labels)

    def measure(self, step: Step) -> None:
        head, labels = step.vocabulary(self.stream, self.view)
        if len(labels):
            self.mean.update(head.cross_entropy(labels).float(), weight=len(labels))

    def results(self) -> dict[str, float]:
        loss = super().results()["loss"]
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
