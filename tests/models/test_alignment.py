"""Alignment against cases worked out by hand, and against offsets that the tokenizers library gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data.sources import TextFiles
from research.models import TrainedTokenizer
from research.models.alignment import align, opens_with_space, readings, respell, shared_tokens, spell

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "味道很好，送餐也快！😀👍🏽 naïve café",
    "  two spaces,\n\ta tab and a line\n",
    "ﬁve ｆｕｌｌ Ⅷ",  # forms that NFKC folds
    "",
]


@pytest.fixture(scope="module")
def trained(slices: Path) -> Callable[[str, int], Any]:
    source = TextFiles(str(slices / "wikitext.txt"))
    return lambda kind, size: TrainedTokenizer(source, vocab_size=size, kind=kind).load()  # type: ignore[arg-type]


def runs(mine: list[int], theirs: list[int]) -> list[tuple[int, ...]]:
    return list(zip(*(each.tolist() for each in align(np.array(mine), np.array(theirs))), strict=True))


def test_hand_cases() -> None:
    """Tokens of "distillation works": dist|illation| works and distil|lation| wor|ks."""
    assert runs([4, 12, 18], [6, 12, 16, 18]) == [(0, 1, 0, 1), (2, 2, 2, 3)]
    assert runs([1, 2, 3], [1, 2, 3]) == [(0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2)]
    assert runs([5], [1, 2, 5]) == [(0, 0, 0, 2)]
    assert runs([2, 4], [3, 5]) == []
    assert runs([2, 4, 6], [2, 5]) == [(0, 0, 0, 0)], "what only one of them goes on with is left out"
    assert runs([], [1]) == []
    assert runs([-1, -1, -1, 1, 2], [-1, 1, 2]) == [(0, 3, 0, 1), (4, 4, 2, 2)], "an emoji of four bytes against two"


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@pytest.mark.parametrize("text", TEXTS)
def test_spelling_is_the_texts(text: str, algorithm: str, trained: Any) -> None:
    """Byte-level tokens spell any text; each ends where the library says, whose span of a broken character is whole."""
    tokenizer = trained(algorithm, 600)
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    spelt, ends = spell(tokenizer, encoding.ids)
    assert spelt == tokenizer.decode(encoding.ids)
    if algorithm == "bpe":
        assert spelt == text
        within = [a[1] > b[0] for a, b in zip(encoding.offsets, encoding.offsets[1:], strict=False)]
        assert [end == -1 for end in ends] == [*within, *([False] if text else [])]
        starts = np.concatenate([[0], ends[ends >= 0]])[:-1]
        assert [text[a:b] for a, b in zip(starts, ends[ends >= 0], strict=True)] == spelt_tokens(
            tokenizer, encoding.ids
        )


def spelt_tokens(tokenizer: Any, ids: list[int]) -> list[str]:
    """Neighbouring tokens joined until their bytes are whole characters."""
    out, held = list[str](), list[int]()
    for token in ids:
        held.append(token)
        if "\ufffd" not in (text := tokenizer.decode(held)):
            out.append(text)
            held = []
    return out


@pytest.mark.parametrize("text", TEXTS[:3])
def test_runs_cover_the_same_characters(text: str, trained: Any) -> None:
    """Every run of two vocabularies reads the same, and together they read the whole text."""
    mine, theirs = trained("bpe", 600), trained("bpe", 300)
    ids = mine.backend_tokenizer.encode(text).ids
    spelt, ends = spell(mine, ids)
    others, their_ends = respell(theirs, spelt)
    read = ""
    for first, last, their_first, their_last in zip(*align(ends, their_ends), strict=True):
        part = mine.decode(ids[first : last + 1])
        assert part == theirs.decode(others[their_first : their_last + 1])
        read += part
    assert read == text


def test_a_folded_text_is_aligned_up_to_the_fold(trained: Any) -> None:
    mine, theirs = trained("bpe", 600), trained("unigram", 600)
    text, ends = spell(mine, mine.backend_tokenizer.encode("a new ﬁve").ids)
    _, their_ends = respell(theirs, text)
    common = align(ends, their_ends)
    assert ends[common.last].max() == len("a new"), "the letter that is two letters elsewhere follows"


def test_shared_tokens_read_the_same(trained: Any) -> None:
    bpe, unigram = trained("bpe", 600), trained("unigram", 600)
    mine, theirs = shared_tokens(bpe, unigram)
    pairs = set(
        zip(bpe.convert_ids_to_tokens(mine.tolist()), unigram.convert_ids_to_tokens(theirs.tolist()), strict=True)
    )
    assert {("Ġthe", "▁the"), ("s", "s")} <= pairs and len(pairs) > 100
    assert all(a.replace("Ġ", "▁") == b for a, b in pairs if a.isascii() or a.startswith("Ġ"))
    assert not {*bpe.all_special_ids} & {*mine.tolist()}


def test_the_first_token_of_a_text(trained: Any) -> None:
    assert [opens_with_space(trained(k, 600)) for k in ("bpe", "unigram", "wordpiece")] == [False, True, True]


def test_word_pieces_read_as_in_a_text(trained: Any) -> None:
    read = readings(trained("wordpiece", 600))
    tokens = trained("wordpiece", 600).get_vocab()
    assert read[" the"] == tokens["the"] and read["ing"] == tokens["##ing"]
