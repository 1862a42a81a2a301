"""What the data workers need to know of a tokenizer, small enough to travel to them."""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Burmese; Khmer
    "\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"  # CJK punctuation, kana; Chinese characters
    "\uf900-\ufaff\uff00-\uff9f\U00020000-\U0003ffff]"  # the rarer ones, and full-width forms
)
UNSPACED_LEADS = range(0xE3, 0xEA)  # first bytes in UTF-8 of U+3000 to U+9FFF


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Special ids and two facts of each token; -1 stands for a special token that the tokenizer lacks.

    ``special`` (V,) bool marks tokens that are never masked; ``continues`` (V,) bool marks tokens that go on
    with the word of the token before them; ``start`` opens a decoder's input; ``sentinels`` are T5's extra ids in their
    order.
    """

    size: int
    pad: int
    begin: int
    end: int
    mask: int
    start: int
    sentinels: np.ndarray
    special: np.ndarray
    continues: np.ndarray

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase", start: int | None = None) -> "Vocabulary":
        """Read a tokenizer; ``start`` is the decoder's start symbol (the pad id where it is not given, as in T5)."""

        def first(*ids: int | None) -> int:
            return next((i for i in ids if i is not None), -1)

        size = len(tokenizer)
        tokens: list[str] = tokenizer.convert_ids_to_tokens(list(range(size)))  # type: ignore[assignment]
        end = first(tokenizer.sep_token_id, tokenizer.eos_token_id)
        special = np.zeros(size, dtype=bool)
        special[[i for i in tokenizer.all_special_ids if i < size]] = True
        extra = [(int(t[10:-1]), i) for i, t in enumerate(tokens) if t.startswith("<extra_id_") and t[10:-1].isdigit()]
        sentinels = np.array([i for _, i in sorted(extra)], dtype=np.int64)
        special[sentinels] = True
        return cls(
            size=size,
            pad=first(tokenizer.pad_token_id, end),
            begin=first(tokenizer.cls_token_id, tokenizer.bos_token_id),
            end=end,
            mask=first(tokenizer.mask_token_id),
            start=first(start, tokenizer.pad_token_id, end),
            sentinels=sentinels,
            special=special,
            continues=continuations(tokens),
        )


def continuations(tokens: list[str]) -> np.ndarray:
    """(V,) bool: does the token continue a word, in the marks of WordPiece, byte-level BPE or SentencePiece?

    In scripts that put no spaces between words, such as Chinese, no mark says where a word begins. There every token
    is a word, together with later ones that only end its last character.
    """
    if any(t.startswith("Ġ") for t in tokens):
        return np.array([not (t.startswith("Ġ") or _is_unspaced(t)) for t in tokens])
    if any(t.startswith("▁") for t in tokens):
        return np.array([not (t.startswith("▁") or UNSPACED.search(t)) for t in tokens])
    return np.array([t.startswith("##") for t in tokens])


def _is_unspaced(token: str) -> bool:
    """Of a byte-level token, which may begin or end within a character."""
    raw = bytes(b for letter in token if (b := _byte_of().get(letter)) is not None)
    text = raw.decode(errors="ignore")
    return bool(UNSPACED.search(text)) or any(byte in UNSPACED_LEADS for byte in raw)


@cache
def _byte_of() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}
