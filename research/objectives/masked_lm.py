"""Masked language modelling (Devlin et al. 2019, arXiv:1810.04805)."""

from research.data.masking import Masked
from research.objectives.token_prediction import TokenPrediction


class MaskedLM(TokenPrediction):
    """Predict hidden tokens of unlabelled text from both sides.

    Args:
        stream: a corpus, or the texts of a task.
        probability: share of the tokens to predict, in (0, 1); 80% of them become the mask token, 10% a random
            one, 10% stay.
        whole_word: choose words and hide all their tokens.
    """

    families = ("encoder",)
    separable = True

    def __init__(self, stream: str, probability: float = 0.15, whole_word: bool = False) -> None:
        super().__init__(stream)
        self._view = Masked(probability, whole_word)

    @property
    def view(self) -> Masked:
        return self._view
