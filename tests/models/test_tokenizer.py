"""Trained tokenizers against the recipes that the tokenizers library ships, on real text."""

import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer

from research.data.sources import CSV, TextFiles
from research.data.sources.source import Record, Source
from research.data.vocabulary import Vocabulary
from research.errors import UserError
from research.models import TrainedTokenizer

KINDS = ["wordpiece", "bpe", "unigram"]


class Counted(Source):
    """A source that counts how often it is read."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.reads = texts, 0

    def __iter__(self) -> Iterator[Record]:
        self.reads += 1
        for i, text in enumerate(self.texts):
            yield {"text": text, "where": f"texts:{i}"}

    def fingerprint(self) -> str:
        return str(hash(tuple(self.texts)))


@pytest.fixture(scope="module")
def texts(shared: Path) -> list[str]:
    lines = (shared / "wikitext2" / "valid.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines[:400] if line.strip()]


def test_wordpiece_is_berts(texts: list[str]) -> None:
    """The library's own choice between merges of equal count is random, so some words are cut otherwise."""
    expected = BertWordPieceTokenizer(lowercase=True)
    expected.train_from_iterator(
        texts, vocab_size=1500, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        limit_alphabet=100_000, min_frequency=0,
    )  # fmt: skip
    tokenizer = TrainedTokenizer(Counted(texts), vocab_size=1500).load()
    assert len(tokenizer) == 1500
    assert len(set(tokenizer.get_vocab()) ^ set(expected.get_vocab())) < 150
    words = [word for text in texts for word in text.split()]
    same = sum(tokenizer.tokenize(w) == expected.encode(w, add_special_tokens=False).tokens for w in words)
    assert same > 0.9 * len(words)
    assert tokenizer.tokenize("the CAFÉ, 東") == expected.encode("the cafe , 東", add_special_tokens=False).tokens
    assert tokenizer.decode(tokenizer("the river runs", add_special_tokens=False)["input_ids"]) == "the river runs"


def test_bpe_is_gpt2s_and_loses_no_byte(texts: list[str]) -> None:
    expected = ByteLevelBPETokenizer(add_prefix_space=False)
    expected.train_from_iterator(
        texts, vocab_size=1500, min_frequency=0, show_progress=False, special_tokens=["<|endoftext|>"]
    )
    tokenizer = TrainedTokenizer(Counted(texts), vocab_size=1500, kind="bpe").load()
    assert len(tokenizer) == 1500
    for text in [*texts[:50], " two  spaces\tand 東京 🙂\n"]:
        ids = tokenizer(text)["input_ids"]
        assert ids == expected.encode(text).ids
        assert tokenizer.decode(ids) == text


def test_unigram_has_t5s_special_tokens_and_sentinels(texts: list[str]) -> None:
    tokenizer = TrainedTokenizer(Counted(texts), vocab_size=1500, kind="unigram").load()
    assert tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]
    vocabulary = Vocabulary.of(tokenizer)
    sentinels = tokenizer.convert_ids_to_tokens(vocabulary.sentinels.tolist())
    assert sentinels == [f"<extra_id_{i}>" for i in range(100)]
    for text in texts[:50]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == " ".join(text.split())
    total = sum(len(tokenizer(text)["input_ids"]) for text in texts)
    assert total < sum(map(len, texts)) / 2.5, "pieces, not letters"


@pytest.mark.parametrize(
    "algorithm, special",
    [
        ("wordpiece", {"pad": "[PAD]", "begin": "[CLS]", "end": "[SEP]", "mask": "[MASK]", "start": "[PAD]"}),
        ("bpe", dict.fromkeys(["pad", "begin", "end", "start"], "<|endoftext|>")),
        ("unigram", {"pad": "<pad>", "end": "</s>", "start": "<pad>"}),
    ],
)
def test_special_tokens_of_the_vocabulary(algorithm: Any, special: dict[str, str], texts: list[str]) -> None:
    tokenizer = TrainedTokenizer(Counted(texts), vocab_size=1500, kind=algorithm).load()
    vocabulary = Vocabulary.of(tokenizer)
    for name in ("pad", "begin", "end", "mask", "start"):
        wanted = tokenizer.convert_tokens_to_ids(special[name]) if name in special else -1
        assert getattr(vocabulary, name) == wanted, name
    assert {t for t, s in zip(range(1500), vocabulary.special, strict=True) if s} >= {
        tokenizer.convert_tokens_to_ids(token) for token in special.values()
    }
    words = "The international organisation was established"
    ids = tokenizer(words, add_special_tokens=False)["input_ids"]
    starts = sum(not vocabulary.continues[i] for i in ids)
    assert starts == len(words.split()) - (algorithm == "bpe"), "byte-level marks no first word of a text"
    assert len(ids) > starts


@pytest.mark.parametrize("algorithm", KINDS)
def test_trained_once_and_kept(algorithm: Any) -> None:
    source = Counted([f"the {word} of a long river {i}" for i, word in enumerate("abcdefghij" * 30)])
    first = TrainedTokenizer(source, vocab_size=350, kind=algorithm).load()
    assert (reads := source.reads) > 0
    again = TrainedTokenizer(source, vocab_size=350, kind=algorithm).load()
    assert source.reads == reads and again.get_vocab() == first.get_vocab()
    TrainedTokenizer(source, vocab_size=351, kind=algorithm).load()
    assert source.reads == 2 * reads
    more = Counted([*source.texts, "more"])
    TrainedTokenizer(more, vocab_size=350, kind=algorithm).load()
    assert more.reads == reads


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(
    algorithm: Any, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is cached, too: a run's config has to be enough to repeat it."""
    vocabularies = []
    for i in range(3):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(i)))
        vocabularies.append(TrainedTokenizer(Counted(texts), vocab_size=3000, kind=algorithm).load().get_vocab())
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_case_is_kept_if_wanted(texts: list[str]) -> None:
    cased = TrainedTokenizer(Counted(texts), vocab_size=1500, lowercase=False).load()
    folded = TrainedTokenizer(Counted(texts), vocab_size=1500, lowercase=True).load()
    assert cased.decode(cased("The River")["input_ids"]) == "The River"
    assert folded.decode(folded("The River")["input_ids"]) == "the river"


def test_a_stopped_training_leaves_nothing(cache_home: Path) -> None:
    class Broken(Counted):
        def __iter__(self) -> Iterator[Record]:
            yield {"text": "some words", "where": "texts:0"}
            raise UserError("texts:1: broken")

    folder = cache_home / "hybrid-fine-tuning" / "tokenizers"
    before = set(folder.glob("*/")) if folder.exists() else set()
    with pytest.raises(UserError, match="texts:1: broken"):
        TrainedTokenizer(Broken(["broken"])).load()
    assert set(folder.glob("*/")) == before


def test_refused_sizes() -> None:
    source = TextFiles("nowhere.txt")
    with pytest.raises(UserError, match="vocab_size is 299; it must be at least 300"):
        TrainedTokenizer(source, vocab_size=299)
    with pytest.raises(UserError, match=r"nowhere\.txt: no such file"):
        TrainedTokenizer(source).load()


@pytest.fixture(scope="module")
def reviews(shared: Path) -> list[str]:
    source = CSV(str(shared / "waimai" / "waimai_10k.csv"), "review")
    return [record["text"] for record in itertools.islice(source, 0, 12_000, 40)]


def test_chinese_wordpiece_is_berts_character_by_character(reviews: list[str]) -> None:
    tokenizer = TrainedTokenizer(Counted(reviews), vocab_size=2000).load()
    rows = tokenizer(reviews, add_special_tokens=False)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in rows)
    tokens = tokenizer.tokenize("送餐快，很好吃！ok")
    assert tokens[:8] == list("送餐快，很好吃！") and "".join(tokens[8:]).replace("##", "") == "ok"
    back = [tokenizer.decode(row) for row in rows]
    assert sum(a == b for a, b in zip(reviews, back, strict=True)) > 0.9 * len(reviews)
    same = [(a, b) for a, b in zip(reviews, back, strict=True) if a.isascii() or all("一" <= c <= "鿿" for c in a)]
    assert same and all(a == b for a, b in same)


def test_chinese_bpe_loses_nothing(reviews: list[str]) -> None:
    tokenizer = TrainedTokenizer(Counted(reviews), vocab_size=1000, kind="bpe").load()
    rows = tokenizer(reviews)["input_ids"]
    assert [tokenizer.decode(row) for row in rows] == reviews
    assert sum(map(len, rows)) < 1.6 * sum(map(len, reviews)), "of three bytes a character"


def test_chinese_unigram_folds_full_width_forms_and_nothing_else(reviews: list[str]) -> None:
    tokenizer = TrainedTokenizer(Counted(reviews), vocab_size=1500, kind="unigram").load()
    rows = tokenizer(reviews, add_special_tokens=False)["input_ids"]
    known = [i for i, row in enumerate(rows) if tokenizer.unk_token_id not in row]
    assert len(known) > 0.9 * len(reviews)
    for i in known:
        folded = " ".join(unicodedata.normalize("NFKC", reviews[i]).split())
        assert " ".join(tokenizer.decode(rows[i]).split()) == folded
    assert sum(map(len, rows)) < sum(map(len, reviews)), "pieces, not characters"
