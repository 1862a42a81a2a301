"""Soft pseudo-labels (unsupervised data augmentation, Xie et al. 2020, arXiv:1904.12848)."""

from torch import Tensor

from research.errors import UserError
from research.objectives.pseudo_labels import PseudoLabels
from research.step import View


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """``p_c^(1/T)``, normalised: the softmax of ``logits / T`` for p = softmax(logits); (N, C) to (N, C)."""
    return (probabilities.clamp_min(1e-30).log() / temperature).softmax(-1)


class UDA(PseudoLabels):
    """``1/N sum_i 1[max q_i >= threshold] KL(q_i^(1/T) || p(strong_i))`` with the guess q_i = p(weak_i).

    Args:
        stream: as for :class:`PseudoLabels`, like the settings not named here.
        temperature: T, above 0; below 1 it sharpens.
    """

    def __init__(
        self,
        stream: str,
        task: str,
        strong: View,
        weak: View | None = None,
        threshold: float = 0.8,
        temperature: float = 0.4,
        align: bool = False,
        decay: float = 0.99,
        from_teacher: bool = False,
    ) -> None:
        super().__init__(stream, task, strong, weak, threshold, align, decay, from_teacher)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        self.temperature = temperature

    def targets(self, guess: Tensor) -> Tensor:
        return sharpened(guess, self.temperature)
