"""A text and its twin about the other group should be answered alike."""

from torch import Tensor

from research.data.augment.group_swap import GroupSwapped
from research.data.batch import Batch, Tokens
from research.data.groups import Pairs
from research.objectives.smoothness import Smoothness, jeffreys
from research.step import Step, View


class CounterfactualConsistency(Smoothness):
    """``1/2 (KL(p || p') + KL(p' || p))`` of the answers to a text and to its twin, the mean over texts that have one.

    The twin has each word of two groups in the place of its partner (:class:`research.data.augment.GroupSwapped`); no
    label is read. It is the counterfactual logit pairing of Garg et al. (2019, arXiv:1809.10610) with a divergence of
    probabilities for the distance of logits.

    Args:
        stream: any stream of texts, labelled or not.
        task: the labelled stream whose classes are predicted; the default is ``stream`` itself.
        pairs: as for :class:`research.data.groups.GroupWords`; the default is words of women and men.
    """

    def __init__(self, stream: str, task: str | None = None, pairs: Pairs | None = None) -> None:
        super().__init__(stream, task)
        self.twin = GroupSwapped(pairs=pairs)

    def views(self) -> tuple[View, ...]:
        return self.view, self.twin

    def terms(self, batch: Batch) -> Tensor:
        return differing(batch.views[self.view], batch.views[self.twin]).sum()

    def forward(self, step: Step) -> Tensor:
        mine, twin = (step.encoded(self.stream, view) for view in self.views())
        of_mine, of_twin = (step.student.class_logits(each, self.task) for each in (mine, twin))
        changed = differing(mine.tokens, twin.tokens)
        return (jeffreys(of_mine, of_twin) * changed).sum() / 2 / changed.sum().clamp_min(1)


def differing(first: Tokens, second: Tokens) -> Tensor:
    """(N,) bool: the rows in which two views show different tokens."""
    width = min(first.ids.shape[1], second.ids.shape[1])
    unlike = (first.ids[:, :width] != second.ids[:, :width]) & first.mask[:, :width] & second.mask[:, :width]
    return unlike.any(1) | (first.mask.sum(1) != second.mask.sum(1))
