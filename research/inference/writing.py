"""What a student writes after a source: greedily, or as it is told to sample."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from research.data.batch import IGNORE, Tokens

if TYPE_CHECKING:
    from research.models.student import Student


def room_after(student: "Student", lengths: Tensor, wanted: int) -> int:
    """How many of the tokens that are wanted the student can still place behind sources of lengths (N,)."""
    if student.max_length is None:
        return wanted
    return min(wanted, student.max_length - (1 if writes_apart(student) else int(lengths.max())))


@torch.no_grad()
def write(student: "Student", ids: Tensor, lengths: Tensor, room: int, **settings: Any) -> Tensor:
    """At most ``room`` new tokens (N, D) for sources, ids (N, L) of lengths (N,); -100 behind the end of each.

    ``settings`` are those of Transformers' ``generate``; by default the likeliest token is taken at each place.
    """
    model: Any = student.model
    pad, end = student.vocabulary.pad, student.vocabulary.end
    given = {"do_sample": False, "num_beams": 1, "use_cache": True, **settings}
    given |= {"pad_token_id": pad, "eos_token_id": end, "max_new_tokens": room}
    if writes_apart(student):
        mask, known = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None], 1
        given["decoder_start_token_id"] = student.vocabulary.start
    else:
        ids, mask = left_padded(ids, lengths, pad)
        known = ids.shape[1]
    written = model.generate(input_ids=ids, attention_mask=mask.long(), **given)
    return until_end(written[:, known:], end)


def write_texts(student: "Student", tokens: Tokens, most: int, **settings: Any) -> list[str]:
    """The N texts of at most so many tokens that the student writes after the sources that ``Clean()`` shows.

    ``settings`` are as for :func:`write`.
    """
    lengths = tokens.mask.sum(1)
    room = room_after(student, lengths, most)
    if room < 1:
        return [""] * len(lengths)
    written = write(student, tokens.ids, lengths, room, **settings)
    return [str(student.tokenizer.decode(row[row != IGNORE], skip_special_tokens=True)) for row in written]


def writes_apart(student: "Student") -> bool:
    """Whether it writes into a sequence of its own, and not behind the source."""
    return student.family.name == "encoder-decoder"


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
