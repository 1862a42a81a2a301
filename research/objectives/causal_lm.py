"""Causal language modelling (Radford et al. 2019)."""

from research.data.masking import NextToken
from research.objectives.token_prediction import TokenPrediction


class CausalLM(TokenPrediction):
    """Predict each token of unlabelled text from those before it.

    Args:
        stream: a corpus (packed ones waste hardly any padding), or the texts of a task.
    """

    families = ("decoder",)
    separable = True

    @property
    def view(self) -> NextToken:
        return NextToken()
