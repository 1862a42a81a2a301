"""Whether a checkpoint is of the tokens and labels that a run reads now."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from research.data.stream import StreamInfo
from research.data.tokenised import tokenizer_fingerprint
from research.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_same_data(
    saved: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase", streams: Mapping[str, StreamInfo]
) -> None:
    """Refuse what the checkpoint says of its data where it is not so here.

    Raises:
        UserError: naming the key.
    """
    if saved["tokenizer"] != tokenizer_fingerprint(tokenizer):
        raise UserError("model.student: its tokenizer is not the checkpoint's; was the cache or its corpus changed?")
    for name, info in saved["streams"].items():
        if name in streams and tuple(info["labels"]) != streams[name].labels:
            mine, theirs = list(streams[name].labels), list(info["labels"])
            raise UserError(f"data.streams.{name}: its labels {mine} are not the checkpoint's {theirs}")
