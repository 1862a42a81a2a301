"""Span corruption (Raffel et al. 2020, arXiv:1910.10683)."""

from research.data.masking import SpanCorrupted
from research.objectives.token_prediction import TokenPrediction


class SpanCorruption(TokenPrediction):
    """Replace spans of unlabelled text by sentinels and write the spans.

    Args:
        stream: a corpus, or the texts of a task.
        density: share of the tokens to remove, in (0, 1).
        mean_length: mean length of a span in tokens, at least 1.
    """

    families = ("encoder-decoder",)
    separable = True

    def __init__(self, stream: str, density: float = 0.15, mean_length: float = 3.0) -> None:
        super().__init__(stream)
        self._view = SpanCorrupted(density, mean_length)

    @property
    def view(self) -> SpanCorrupted:
        return self._view
