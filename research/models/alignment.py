"""Two tokenisations of one text: the runs of tokens that cover the same characters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Runs(NamedTuple):
    """G runs of neighbouring tokens, each covering the same characters in both tokenisations.

    Each array (G,) int64: the first token and the last of a run, in mine and in theirs.
    """

    first: np.ndarray
    last: np.ndarray
    their_first: np.ndarray
    their_last: np.ndarray


def align(ends: np.ndarray, their_ends: np.ndarray) -> Runs:
    """As short as they can be, without gaps, from the first token on.

    Args:
        ends: (n,) where each token ends in the text; -1 for one that ends within a character.
        their_ends: (m,) likewise.
    """
    common = np.intersect1d(ends[ends >= 0], their_ends[their_ends >= 0])
    last, their_last = (np.flatnonzero(np.isin(each, common)) for each in (ends, their_ends))
    first, their_first = (np.concatenate([[0], each[:-1] + 1])[: len(common)] for each in (last, their_last))
    return Runs(first, last, their_first, their_last)


def spell(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int] | np.ndarray) -> tuple[str, np.ndarray]:
    """The text of token ids, and where each of them ends in it, as :func:`align` reads it.

    Decoded one by one: a byte-level token may end within a character, which belongs to the token that completes it.
    """
    from tokenizers.decoders import DecodeStream

    stream, backend = DecodeStream(skip_special_tokens=False), tokenizer.backend_tokenizer
    parts, ends, length = list[str](), np.full(len(ids), -1, np.int64), 0
    for i, token in enumerate(ids):
        if part := stream.step(backend, int(token)):
            parts.append(part)
            length += len(part)
            ends[i] = length
    return "".join(parts), ends


def respell(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids (m,) that another tokenizer makes of a text, and where each ends in it.

    Where it does not give the text back as it was, as one that folds case or forms, nothing ends behind the first
    difference.
    """
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    given_back, ends = spell(tokenizer, ids)
    pairs = enumerate(zip(text, given_back, strict=False))
    equal = next((i for i, (mine, theirs) in pairs if mine != theirs), len(text))
    return np.array(ids, np.int64), np.where(ends <= equal, ends, -1)


def shared_tokens(tokenizer: "PreTrainedTokenizerBase", theirs: "PreTrainedTokenizerBase") -> np.ndarray:
    """The ids, mine and theirs (2, C), of the plain tokens of two vocabularies that stand for the same text."""
    mine, other = readings(tokenizer), readings(theirs)
    return (
        np.array([(mine[text], other[text]) for text in sorted(mine.keys() & other.keys())], np.int64).reshape(-1, 2).T
    )


def readings(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """What each plain token stands for in the middle of a text: "Ġword" and "▁word" are both " word".

    Tokens that hold a part of a character are left out, and all but the first of those that read the same.
    """
    backend, special = tokenizer.backend_tokenizer, set(tokenizer.all_special_ids)
    plain = [i for i in range(backend.get_vocab_size()) if i not in special]
    read = {text: i for i, text in zip(reversed(plain), reversed(within(tokenizer, plain)), strict=True)}
    return {text: i for text, i in read.items() if text and "\ufffd" not in text}


def within(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[str]:
    """What each of some tokens reads in the middle of a text."""
    backend = tokenizer.backend_tokenizer
    before = backend.encode("a", add_special_tokens=False).ids
    skip = len(backend.decode(before, skip_special_tokens=False))
    return [text[skip:] for text in backend.decode_batch([[*before, i] for i in ids], skip_special_tokens=False)]


def opens_with_space(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Is the first token of a text one that reads with a space before it elsewhere?"""
    first = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids[0]
    return within(tokenizer, [first])[0].startswith(" ")
