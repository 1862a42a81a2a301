"""L2 penalty with the starting point as reference (Li et al. 2018, arXiv:1802.01483)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from research.errors import UserError
from research.objectives.anchored import Anchored
from research.step import Step, View

if TYPE_CHECKING:
    from research.data.stream import StreamInfo
    from research.models.families import Family
    from research.models.teachers import Teacher


class L2SP(Anchored):
    """Keep the backbone near the weights that it starts with, and the heads, which start anew, near zero.

    ``alpha/2 |w - w_0|^2 + beta/2 |w_heads|^2``, with sums over all parameters that are trained. It reads no stream
    and counts in every step; set ``model.optimisation.weight_decay`` to 0, which pulls to zero instead.

    Args:
        alpha: at least 0.
        beta: at least 0.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 0.01) -> None:
        super().__init__(stream="")
        for name, value in {"alpha": alpha, "beta": beta}.items():
            if value < 0:
                raise UserError(f"{name} is {value}; it must be at least 0")
        self.alpha, self.beta = alpha, beta

    def views(self) -> tuple[View, ...]:
        return ()

    def check(
        self, name: str, family: "Family", streams: "Mapping[str, StreamInfo]", teacher: "Teacher | None"
    ) -> None:
        """It has a meaning for any student."""

    def forward(self, step: Step) -> Tensor:
        heads = sum(weight.square().sum() for weight in step.student.heads.parameters())
        return self.alpha * self.pulled(step.student) + self.beta / 2 * heads
