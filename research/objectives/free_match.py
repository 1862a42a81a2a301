"""Hard pseudo-labels whose thresholds find themselves (FreeMatch, Wang et al. 2023, arXiv:2205.07246)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from research.objectives.fix_match import FixMatch
from research.ranks import of_all_ranks
from research.step import View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.student import Student


def class_thresholds(confidence: Tensor, marginal: Tensor) -> Tensor:
    """``tau_c = tau m_c / max m``, from the mean confidence tau (a scalar) and the mean guess m (C,): (C,)."""
    return confidence * marginal / marginal.max()


class FreeMatch(FixMatch):
    """:class:`FixMatch` with a threshold for each class, low at first and for classes that are rarely guessed.

    Running means start at 1/C and move by ``tau <- d tau + (1 - d) mean max q`` and ``m <- d m + (1 - d) mean q``; a
    guess counts if it is at least ``tau_c`` of its class. The paper's fairness penalty is left out.

    Args:
        stream: as for :class:`PseudoLabels`, like the settings not named here.
        decay: d, in [0, 1).
    """

    confidence: Tensor

    def __init__(
        self,
        stream: str,
        task: str,
        strong: View,
        weak: View | None = None,
        decay: float = 0.99,
        from_teacher: bool = False,
    ) -> None:
        super().__init__(stream, task, strong, weak, decay=decay, from_teacher=from_teacher)

    def build(self, student: "Student", streams: "Mapping[str, StreamInfo]") -> None:
        super().build(student, streams)
        self.register_buffer("confidence", torch.tensor(1 / len(self.marginal)))

    def observe(self, guess: Tensor) -> None:
        guess = of_all_ranks(guess)
        self.marginal.lerp_(guess.mean(0), 1 - self.decay)
        self.confidence.lerp_(guess.amax(-1).mean(), 1 - self.decay)

    def confident(self, guess: Tensor) -> Tensor:
        best, which = guess.max(-1)
        return best >= class_thresholds(self.confidence, self.marginal)[which]
