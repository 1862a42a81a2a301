"""What the student itself would write: the view that on-policy distillation reads."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import IGNORE, Tokens
from research.data.masking import Conditional
from research.errors import UserError

if TYPE_CHECKING:
    from research.models.student import Student


@dataclass(frozen=True)
class OnPolicy(Conditional):
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
        room = self._room(tokens, student)
        if not student.training or room < 1 or torch.rand(()) >= self.share:
            return tokens
        student.eval()
        try:
            return self._sampled(tokens, student, room)
        finally:
            student.train()

    def _room(self, tokens: Tokens, student: "Student") -> int:
        """How many tokens the longest source leaves to write."""
        if student.max_length is None:
            return self.max_new_tokens
        if tokens.decoder_ids is not None:
            return min(self.max_new_tokens, student.max_length - 1)
        return min(self.max_new_tokens, student.max_length - int(sources_of(tokens).max()))

    @torch.no_grad()
    def _sampled(self, tokens: Tokens, student: "Student", room: int) -> Tokens:
        model: Any = student.model
        pad, end = student.vocabulary.pad, student.vocabulary.end
        given = dict(do_sample=True, top_k=0, top_p=1.0, temperature=self.temperature, pad_token_id=pad,
                     eos_token_id=end, max_new_tokens=room, use_cache=True)  # fmt: skip
        start = student.vocabulary.start
        if tokens.decoder_ids is not None:
            written = model.generate(
                input_ids=tokens.ids, attention_mask=tokens.mask.long(), decoder_start_token_id=start, **given
            )
            return replace(tokens, decoder_ids=written[:, :-1], labels=until_end(written[:, 1:], end))
        sources = sources_of(tokens)
        prompts, mask = left_padded(tokens.ids, sources, pad)
        new = model.generate(input_ids=prompts, attention_mask=mask.long(), **given)[:, prompts.shape[1] :]
        return joined(tokens.ids, sources, until_end(new, end), pad)


def sources_of(tokens: Tokens) -> Tensor:
    """How long the source of each row (N,) is, for a causal model: the first label stands at its last token."""
    assert tokens.labels is not None
    return (tokens.labels != IGNORE).int().argmax(1) + 1


def until_end(written: Tensor, end: int) -> Tensor:
    """Tokens (N, L), with -100 behind the first ``end`` of each row."""
    ended = (written == end).int().cumsum(1) - (written == end).int() > 0
    return written.masked_fill(ended, IGNORE)


def left_padded(ids: Tensor, lengths: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """The first ``lengths`` (N,) tokens of each row of ids (N, L), moved to the right, and their mask."""
    longest = int(lengths.max())
    place = torch.arange(longest, device=ids.device) - (longest - lengths[:, None])
    mask = place >= 0
    return ids.gather(1, place.clamp(min=0)).masked_fill(~mask, pad), mask


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
