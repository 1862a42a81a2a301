"""What the student itself would write: the view that on-policy distillation reads."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import IGNORE, Tokens
from research.data.masking import Conditional
from research.errors import UserError
from research.inference.writing import room_after, write
from research.sharding import Whole

if TYPE_CHECKING:
    from research.models.student import Student


@dataclass(frozen=True)
class OnPolicy(Conditional, Whole):
    """The sources of a generation task, continued by the student as it is at that step (GKD, Agarwal et al. 2024,
    arXiv:2306.13649).

    Distilled with ``Distillation(tokens=OnPolicy())`` the student learns where its own samples lead it. A batch is of
    its samples with probability ``share``, and otherwise of the given targets; held-out data keep theirs. Sampling
    costs a forward without a gradient for each new token.

    Args:
        share: GKD's lambda, in [0, 1].
        max_new_tokens: of a sample, at least 1.
        temperature: of sampling, above 0.
    """

    share: float = 1.0
    max_new_tokens: int = 64
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UserError(f"share is {self.share}; it must lie in [0, 1]")
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        if self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature}; it must be above 0")

    def held_out(self) -> Conditional:
        return Conditional()

    def finish(self, tokens: Tokens, student: "Student") -> Tokens:
        lengths = sources_of(tokens) if tokens.decoder_ids is None else tokens.mask.sum(1)
        room = room_after(student, lengths, self.max_new_tokens)
        if not student.training or room < 1 or torch.rand(()) >= self.share:
            return tokens
        student.eval()
        try:
            sampling = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": self.temperature}
            written = write(student, tokens.ids, lengths, room, **sampling)
        finally:
            student.train()
        if tokens.decoder_ids is None:
            return joined(tokens.ids, lengths, written, student.vocabulary.pad)
        before = F.pad(written[:, :-1], (1, 0), value=student.vocabulary.start)
        return replace(tokens, decoder_ids=before.masked_fill(before == IGNORE, student.vocabulary.pad), labels=written)


def sources_of(tokens: Tokens) -> Tensor:
    """How long the source of each row (N,) is, for a causal model: the first label stands at its last token."""
    assert tokens.labels is not None
    return (tokens.labels != IGNORE).int().argmax(1) + 1


def joined(ids: Tensor, lengths: Tensor, labels: Tensor, pad: int) -> Tokens:
    """Sources, the first ``lengths`` (N,) tokens of ids (N, L), and what a causal model wrote behind them.

    ``labels`` (N, D) are that, -100 behind its end; laid out as :meth:`Family.conditional` does.
    """
    ends = lengths + (labels != IGNORE).sum(1) - 1
    place = torch.arange(int(ends.max()), device=ids.device).expand(len(ids), -1)
    mask, written = place < ends[:, None], place - lengths[:, None]
    source = ids.gather(1, place.clamp(max=ids.shape[1] - 1))
    before = labels.gather(1, written.clamp(0, labels.shape[1] - 1))
    predicted = labels.gather(1, (written + 1).clamp(0, labels.shape[1] - 1))
    return Tokens(
        torch.where(written < 0, source, before).masked_fill(~mask, pad),
        mask,
        labels=predicted.masked_fill(~mask | (written < -1), IGNORE),
    )
