"""Rows that hold several documents: attention inside each of them, positions that restart, and states parted again."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from research.data.batch import Tokens
from research.errors import UserError
from research.models.attention import NAME as BLOCKED

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SERVED = (  # they take a mask (N, 1, L, L), and positions if theirs are absolute; packed equals padded in the tests
    "bert", "camembert", "distilbert", "electra", "hybrid_transformer", "roberta", "xlm-roberta",
    "gpt2", "llama", "mt5", "t5",
)  # fmt: skip


def check_packed(config: "PretrainedConfig", key: str, model: str) -> None:
    """Refuse an architecture that would look across the documents of a row, from its configuration.

    Raises:
        UserError: naming ``key``, the setting that packs, and ``model``, the one that would read the rows.
    """
    if takes_packed(config):
        return
    if config.model_type not in SERVED:
        told = f"best_fit is not known to keep documents apart in {config.model_type}"
        raise UserError(f"{key}: {told}, which {model} is; it serves {', '.join(SERVED)}")
    kernel = config._attn_implementation
    raise UserError(f"{key}: best_fit needs {model} to have attn_implementation sdpa; it has {kernel}")


def takes_packed(config: "PretrainedConfig") -> bool:
    """Whether an architecture's attention can be given packed rows."""
    kernel = config._attn_implementation  # unset before the model is built
    return config.model_type in SERVED and kernel in (None, "sdpa", BLOCKED)


def positions(segments: Tensor) -> Tensor:
    """(N, L) segments as in :class:`research.data.batch.Tokens` to the place of each token in its document, from 0."""
    place = torch.arange(segments.shape[1], device=segments.device)
    starts = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    return place - torch.where(starts, place, 0).cummax(1).values


def visible(queries: Tensor, keys: Tensor, causal: bool = False) -> Tensor:
    """Segments of queries (N, L) and of keys (N, S) to a bool mask (N, 1, L, S), true where they are of one document.

    Padding sees padding, so that no row of the mask is empty.
    """
    same = queries[:, :, None] == keys[:, None, :]
    return (same.tril() if causal else same)[:, None]


def masks(tokens: Tokens, causal: bool = False, first_position: int = 0) -> dict[str, Tensor]:
    """How a model of one stack is told what its tokens may see and where they stand, by its own argument names."""
    if tokens.segments is None:
        return {"attention_mask": tokens.mask.long()}
    return {
        "attention_mask": visible(tokens.segments, tokens.segments, causal),
        "position_ids": positions(tokens.segments) + first_position,
    }


def unpacked(states: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """States (N, L, H) of packed rows as a row a document, (D, longest, H), and its mask (D, longest)."""
    real, place = segments > 0, positions(segments)
    document = (real & (place == 0)).flatten().cumsum(0).view_as(segments) - 1
    shape = int(document[-1, -1]) + 1, int(place[real].max()) + 1
    where = document[real], place[real]
    mask = torch.zeros(shape, dtype=torch.bool, device=states.device).index_put_(where, real[real])
    return states.new_zeros(*shape, states.shape[-1]).index_put(where, states[real]), mask
