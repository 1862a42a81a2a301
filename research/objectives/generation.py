"""Conditional generation: write a target from a source by teacher forcing (Sutskever et al. 2014)."""

from research.data.masking import Conditional
from research.objectives.token_prediction import TokenPrediction


class Generation(TokenPrediction):
    """Mean cross entropy of the target's tokens given the source and the target so far.

    Args:
        stream: a task whose source yields a ``target`` text.
    """

    families = ("decoder", "encoder-decoder")
    problems = ("generate",)
    separable = True

    @property
    def view(self) -> Conditional:
        return Conditional()
