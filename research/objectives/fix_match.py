"""Hard pseudo-labels (FixMatch, Sohn et al. 2020, arXiv:2001.07685)."""

import torch.nn.functional as F
from torch import Tensor

from research.objectives.pseudo_labels import PseudoLabels


class FixMatch(PseudoLabels):
    """``1/N sum_i 1[max q_i >= threshold] CE(argmax q_i, p(strong_i))`` with the guess q_i = p(weak_i).

    Args:
        stream: as for :class:`PseudoLabels`, like the other settings.
    """

    def targets(self, guess: Tensor) -> Tensor:
        return F.one_hot(guess.argmax(-1), guess.shape[-1])
