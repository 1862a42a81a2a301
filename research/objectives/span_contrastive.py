"""Contrast of spans of one text (DeCLUTR, Giorgi et al. 2021, arXiv:2006.03659)."""

import torch
from torch import Tensor

from research.data.spans import AnchorSpan, PositiveSpan
from research.errors import UserError
from research.objectives.base import Objective
from research.objectives.supervised_contrastive import supervised_contrastive
from research.ranks import of_all_ranks
from research.step import Step, View


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """``-log exp(sim(h_i, h_i') / tau) / sum_{k != i} exp(sim(h_i, k) / tau)``, the mean over all 2N rows.

    k runs over both sides (SimCLR, Chen et al. 2020, arXiv:2002.05709).

    Args:
        first: (N, H) embeddings h.
        second: (N, H) embeddings h' of what belongs to them.
        temperature: tau, above 0.
    """
    labels = torch.arange(len(first), device=first.device).repeat(2)
    return supervised_contrastive(torch.cat([first, second]), labels, temperature)


class SpanContrastive(Objective):
    """Pull together spans of a text that lie near each other, push apart all others, over all ranks.

    Anchors are long spans; the mean embedding of the positives near an anchor is what it is pulled to.

    Args:
        stream: a corpus of long texts. Spans lie within what is one example there, so ``max_length`` should be well
            above ``longest``.
        temperature: tau, above 0.
        anchors: spans of each text, at least 1; the others of the same text are hard negatives.
        positives: spans near each anchor, at least 1.
        shortest: least length of a span in tokens, at least 1; shorter texts are taken whole.
        longest: greatest length.
    """

    gathers = True

    def __init__(
        self,
        stream: str,
        temperature: float = 0.05,
        anchors: int = 1,
        positives: int = 1,
        shortest: int = 32,
        longest: int = 512,
    ) -> None:
        super().__init__(stream)
        if temperature <= 0:
            raise UserError(f"temperature is {temperature}; it must be above 0")
        for name, value in (("anchors", anchors), ("positives", positives)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        self.temperature = temperature
        self.anchors = [AnchorSpan(shortest, longest, draw) for draw in range(anchors)]
        self.positives = [[PositiveSpan(anchor, draw) for draw in range(positives)] for anchor in self.anchors]

    def views(self) -> tuple[View, ...]:
        return (*self.anchors, *(span for spans in self.positives for span in spans))

    def forward(self, step: Step) -> Tensor:
        def embeddings(view: View) -> Tensor:
            return step.student.embedding(step.encoded(self.stream, view))

        anchors = [of_all_ranks(embeddings(view)) for view in self.anchors]
        means = [torch.stack([embeddings(view) for view in views]).mean(0) for views in self.positives]
        positives = [of_all_ranks(mean) for mean in means]
        return nt_xent(torch.cat(anchors), torch.cat(positives), self.temperature)
