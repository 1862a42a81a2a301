"""R-Drop: two dropout masks, one prediction (Liang et al. 2021, arXiv:2106.14448)."""

from torch import Tensor

from research.objectives.smoothness import Smoothness
from research.step import Clean, Step, View

SECOND = Clean(dropout_pass=1)


class RDrop(Smoothness):
    """``1/2 (KL(p_1 || p_2) + KL(p_2 || p_1))`` of the predictions under two dropout masks, the mean over examples.

    The paper adds it, times alpha, to the cross entropy of both passes: a ``Classification`` gives that of the first,
    and another one whose view is ``{class_path: research.step.Clean, init_args: {dropout_pass: 1}}`` of the second.
    """

    def views(self) -> tuple[View, ...]:
        return (self.view,) if self.over_tokens else (self.view, SECOND)

    def forward(self, step: Step) -> Tensor:
        if self.over_tokens:  # a view's tokens are drawn anew for each view, and these have to be the same
            return self.difference(step, step.again(self.stream, self.view)) / 2
        return self.difference(step, step.encoded(self.stream, SECOND)) / 2
