"""Masks on real text with a published tokenizer: their shares, what they spare, and what labels say."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers.convert_slow_tokenizer import bytes_to_unicode

from research.data.batch import IGNORE, Example
from research.data.masking import Conditional, Masked, NextToken, SpanCorrupted, corrupt_spans, cut, mask_tokens
from research.data.sources import TextFiles
from research.data.stream import StreamInfo
from research.data.vocabulary import Vocabulary, continuations
from research.errors import UserError
from research.models import EMATeacher, Student, TrainedTokenizer
from research.models.families import Encoder
from research.module import HybridModule
from research.objectives import Distillation

PASSES = 10  # over 14,000 tokens


@pytest.fixture(scope="module")
def lines(slices: Path) -> list[str]:
    text = (slices / "wikitext.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if len(line) > 500]


@pytest.fixture(scope="module")
def vocabulary(minilm_tokenizer: Any) -> Vocabulary:
    return Vocabulary.of(minilm_tokenizer)


@pytest.fixture(scope="module")
def framed(lines: list[str], minilm_tokenizer: Any) -> list[np.ndarray]:
    """Texts and pairs with their special tokens, as the published tokenizer frames them."""
    rows = [minilm_tokenizer(line)["input_ids"] for line in lines]
    rows += [minilm_tokenizer(a, b)["input_ids"] for a, b in zip(lines[:5], lines[5:10], strict=True)]
    rows.append(minilm_tokenizer(f"{lines[0]} \ufffe \U000e0001 \u13f8 {lines[1]}")["input_ids"])
    assert minilm_tokenizer.unk_token_id in rows[-1]
    return [np.array(row) for row in rows]


def within(count: float, total: int, share: float) -> bool:
    """Is a binomial count within five standard deviations? It is not once in 1.7 million."""
    return abs(count - total * share) < 5 * np.sqrt(total * share * (1 - share))


@pytest.mark.parametrize("probability", [0.15, 0.4])
def test_shares(probability: float, framed: list[np.ndarray], vocabulary: Vocabulary) -> None:
    rng = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    random: list[np.ndarray] = []
    for row in framed * PASSES:
        masked, labels = mask_tokens(row, vocabulary, rng, probability)
        chosen = labels != IGNORE
        assert (labels[chosen] == row[chosen]).all() and (masked[~chosen] == row[~chosen]).all()
        seen["ordinary"] += int((~vocabulary.special[row]).sum())
        seen["chosen"] += int(chosen.sum())
        seen["masked"] += int((masked[chosen] == vocabulary.mask).sum())
        seen["kept"] += int((masked[chosen] == row[chosen]).sum())
        random.append(masked[chosen & (masked != vocabulary.mask) & (masked != row)])
    assert seen["ordinary"] > 100_000
    assert within(seen["chosen"], seen["ordinary"], probability)
    assert within(seen["masked"], seen["chosen"], 0.8)
    assert within(seen["kept"], seen["chosen"], 0.1)
    drawn = np.concatenate(random)
    assert within(len(drawn), seen["chosen"], 0.1)
    assert not vocabulary.special[drawn].any()
    assert abs(drawn.mean() / vocabulary.size - 0.5) < 5 * np.sqrt(1 / 12 / len(drawn)) + 0.02, "uniform"


@pytest.mark.parametrize("whole_word", [False, True])
def test_special_tokens_are_spared(
    whole_word: bool, framed: list[np.ndarray], vocabulary: Vocabulary, minilm_tokenizer: Any
) -> None:
    special = set(minilm_tokenizer.all_special_ids)
    for seed, row in enumerate(framed):
        masked, labels = mask_tokens(row, vocabulary, np.random.default_rng(seed), 0.9, whole_word)
        spared = np.array([token in special for token in row])
        assert spared.sum() >= 2 and (masked[spared] == row[spared]).all() and (labels[spared] == IGNORE).all()


def test_whole_words(lines: list[str], vocabulary: Vocabulary, minilm_tokenizer: Any) -> None:
    """Either all pieces of a word are chosen or none, by the tokenizer's own account of what a word is."""
    rng = np.random.default_rng(0)
    total = chosen_words = in_pieces = 0
    texts = [*lines, "東京 is unaffordableness-prone, naïvely re-re-reconsidering 3.14159!"]
    for text in texts * 3:
        encoded = minilm_tokenizer(text)
        row = np.array(encoded["input_ids"])
        _, labels = mask_tokens(row, vocabulary, rng, 0.15, whole_word=True)
        pieces: dict[int, list[bool]] = {}
        for word, label, special in zip(encoded.word_ids(), labels, vocabulary.special[row], strict=True):
            if word is not None and not special:
                pieces.setdefault(word, []).append(label != IGNORE)
        assert all(len(set(word)) == 1 for word in pieces.values())
        total += len(pieces)
        chosen_words += sum(word[0] for word in pieces.values())
        in_pieces += sum(word[0] and len(word) > 1 for word in pieces.values())
    assert in_pieces > 200 and within(chosen_words, total, 0.15)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_second_text_begins_a_word(name: str, tiny: Callable[..., Any]) -> None:
    """A first piece belongs to no word before the separator, though it is marked as one that goes on.

    A window may begin inside a word; in byte-level BPE the first word of any text has no mark.
    """
    vocabulary = replace(tiny(name).vocabulary, mask=5)  # any id, as GPT-2's has none
    piece = int(np.flatnonzero(vocabulary.continues)[0])
    word = int(np.flatnonzero(~vocabulary.continues & ~vocabulary.special)[-1])
    row = Encoder().frame(Example(np.array([word]), np.array([piece])), vocabulary).ids
    apart = 0
    for seed in range(50):
        _, labels = mask_tokens(row, vocabulary, np.random.default_rng(seed), 0.5, whole_word=True)
        assert (labels[vocabulary.special[row]] == IGNORE).all()
        apart += (labels[1] == IGNORE) != (labels[3] == IGNORE)
    assert apart > 10


def test_same_random_numbers_same_mask(framed: list[np.ndarray], vocabulary: Vocabulary) -> None:
    row = framed[0]
    before = row.copy()

    def masks(seed: int) -> tuple[list[int], list[int]]:
        rng = np.random.default_rng(seed)
        first, second = mask_tokens(row, vocabulary, rng)[0], mask_tokens(row, vocabulary, rng)[0]
        return first.tolist(), second.tolist()

    assert masks(3) == masks(3) and masks(3) != masks(4)
    assert masks(3)[0] != masks(3)[1], "a text has another mask each time"
    assert (row == before).all(), "the tokens of the cache stay as they are"


@pytest.mark.parametrize("whole_word", [False, True])
def test_short_texts(whole_word: bool, vocabulary: Vocabulary) -> None:
    """One token at least carries a loss; a text of special tokens alone has none and stays."""
    for length in (1, 2, 3):
        row = Encoder().frame(Example(np.arange(2000, 2000 + length)), vocabulary).ids
        for seed in range(50):
            _, labels = mask_tokens(row, vocabulary, np.random.default_rng(seed), 0.01, whole_word)
            assert (labels != IGNORE).sum() >= 1
    empty = Encoder().frame(Example(np.zeros(0, np.int64)), vocabulary).ids
    masked, labels = mask_tokens(empty, vocabulary, np.random.default_rng(0), 0.5, whole_word)
    assert (masked == empty).all() and (labels == IGNORE).all()


def test_views_frame_and_keep_pairs(vocabulary: Vocabulary, minilm_tokenizer: Any) -> None:
    first, second = (np.array(minilm_tokenizer(t, add_special_tokens=False)["input_ids"]) for t in ("a b", "c"))
    encoded = minilm_tokenizer("a b", "c")
    row = Masked(0.5).build(Example(first, second), Encoder(), vocabulary, np.random.default_rng(0))
    assert row.labels is not None
    assert np.where(row.labels == IGNORE, row.ids, row.labels).tolist() == encoded["input_ids"]
    assert row.second == encoded["token_type_ids"].index(1)
    following = NextToken().build(Example(first, second), Encoder(), vocabulary, np.random.default_rng(0))
    assert following.labels is not None
    assert following.labels.tolist() == [*encoded["input_ids"][1:], IGNORE]


@pytest.mark.parametrize("probability", [0, 1, -0.2, 2])
def test_impossible_probability(probability: float) -> None:
    with pytest.raises(UserError, match=r"masking probability is .*\(0, 1\)"):
        Masked(probability)


# Spans


@pytest.fixture(scope="module")
def t5_vocabulary(tiny: Callable[..., Any]) -> Vocabulary:
    return tiny("t5").vocabulary


@pytest.fixture(scope="module")
def documents(tiny: Callable[..., Any], lines: list[str]) -> list[np.ndarray]:
    return [np.array(row) for row in tiny("t5").tokenizer(lines, add_special_tokens=False)["input_ids"]]


def restored(source: np.ndarray, target: np.ndarray, sentinels: list[int]) -> tuple[list[int], list[int]]:
    """Put the target's spans in the places of the source's sentinels: the text, and the spans' lengths."""
    spans: dict[int, list[int]] = {}
    for token in target.tolist():
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    closing = list(spans)[-1]
    assert spans.pop(closing) == []
    assert [t for t in source.tolist() if t in sentinels] == list(spans), "the same order in source and target"
    assert [*spans, closing] == sentinels[: len(spans) + 1], "from the first sentinel on, none left out"
    text = [t for token in source.tolist() for t in (spans[token] if token in sentinels else [token])]
    return text, [len(span) for span in spans.values()]


@pytest.mark.parametrize(("density", "mean_length"), [(0.15, 3.0), (0.5, 2.0), (0.15, 1.0), (0.9, 10.0)])
def test_source_and_target_make_the_text(
    density: float, mean_length: float, documents: list[np.ndarray], t5_vocabulary: Vocabulary
) -> None:
    rng = np.random.default_rng(0)
    sentinels = t5_vocabulary.sentinels.tolist()
    lengths: list[int] = []
    for document in documents:
        window = document[:180]
        text, spans = restored(*corrupt_spans(window, t5_vocabulary, rng, density, mean_length), sentinels)
        assert text == window.tolist()
        assert abs(sum(spans) - density * len(window)) <= 0.5, "as many tokens as asked for"
        lengths += spans
    assert abs(np.mean(lengths) - mean_length) < 0.1 * mean_length
    assert min(lengths) >= 1 and (mean_length == 1) == (max(lengths) == 1), "lengths vary"


def test_every_length(t5_vocabulary: Vocabulary) -> None:
    """From one token to more spans than there are sentinels, at every setting, nothing is lost."""
    sentinels = t5_vocabulary.sentinels.tolist()
    for length in [*range(1, 40), 700]:
        text = np.arange(200, 200 + length)
        for density in (0.01, 0.15, 0.5, 0.99):
            for mean_length in (1.0, 3.0, 50.0):
                rng = np.random.default_rng(length)
                source, target = corrupt_spans(text, t5_vocabulary, rng, density, mean_length)
                again, spans = restored(source, target, sentinels)
                assert again == text.tolist() and sum(spans) >= 1 and min(spans) >= 1
                assert length == 1 or sum(spans) < length, "some of the text is left to read"


def test_an_empty_text_has_no_spans(t5_vocabulary: Vocabulary) -> None:
    row = SpanCorrupted().build(Example(np.zeros(0, np.int64)), Encoder(), t5_vocabulary, np.random.default_rng(0))
    assert row.labels is not None and row.decoder_ids is not None
    assert row.ids.tolist()[-1] == t5_vocabulary.end and len(row.labels) == len(row.decoder_ids)


def test_decoder_reads_the_target_one_step_late(documents: list[np.ndarray], t5_vocabulary: Vocabulary) -> None:
    v, example = t5_vocabulary, Example(documents[0][:50])
    row = SpanCorrupted().build(example, Encoder(), v, np.random.default_rng(1))
    source, target = corrupt_spans(example.first, v, np.random.default_rng(1))
    assert row.labels is not None and row.decoder_ids is not None
    assert row.ids.tolist() == [*source, v.end] and row.labels.tolist() == [*target, v.end]
    assert row.decoder_ids.tolist() == [v.start, *target]


def test_same_random_numbers_same_spans(documents: list[np.ndarray], t5_vocabulary: Vocabulary) -> None:
    def source(seed: int) -> list[int]:
        return corrupt_spans(documents[0], t5_vocabulary, np.random.default_rng(seed))[0].tolist()

    assert source(0) == source(0) and source(0) != source(1)


def test_each_way_to_cut_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    ways = Counter(tuple(cut(6, 3, rng).tolist()) for _ in range(10_000))
    assert len(ways) == 10 and all(sum(way) == 6 and min(way) >= 1 for way in ways)
    assert all(within(count, 10_000, 0.1) for count in ways.values())


@pytest.mark.parametrize(("density", "mean_length"), [(0, 3), (1, 3), (-0.1, 3), (0.15, 0.9)])
def test_impossible_spans(density: float, mean_length: float) -> None:
    with pytest.raises(UserError, match=r"span density is .*\(0, 1\)|mean span length is 0.9; .* at least 1"):
        SpanCorrupted(density, mean_length)


def test_the_end_is_predicted_only_where_a_text_ends() -> None:
    """A window in the middle of a document must not teach that the text ends there."""
    from research.data.batch import Example
    from research.data.masking import NextToken
    from research.models.families import Decoder

    vocabulary = SimpleNamespace(end=9)
    text = np.array([4, 5, 6])
    whole = NextToken().build(Example(text), Decoder(), vocabulary, np.random.default_rng(0))  # type: ignore[arg-type]
    assert whole.ids.tolist() == [4, 5, 6, 9] and whole.labels.tolist() == [5, 6, 9, -100]
    part = NextToken().build(Example(text, ends=False), Decoder(), vocabulary, np.random.default_rng(0))  # type: ignore[arg-type]
    assert part.ids.tolist() == [4, 5, 6] and part.labels.tolist() == [5, 6, -100]


# What a view has a meaning for


@pytest.mark.parametrize(
    ("view", "name", "kind", "problem", "needs"),
    [
        (Masked(), "bert", "wordpiece", "classify", None),
        (Masked(), "bert", "bpe", "unlabelled", "a tokenizer with a mask token"),
        (Masked(), "gpt2", "wordpiece", "unlabelled", "an encoder"),
        (NextToken(), "gpt2", "bpe", "unlabelled", None),
        (NextToken(), "bert", "wordpiece", "unlabelled", "a decoder"),
        (SpanCorrupted(), "t5", "unigram", "unlabelled", None),
        (SpanCorrupted(), "t5", "wordpiece", "unlabelled", "a tokenizer with T5's sentinels"),
        (SpanCorrupted(), "gpt2", "unigram", "unlabelled", "an encoder-decoder"),
        (Conditional(), "t5", "unigram", "generate", None),
        (Conditional(), "gpt2", "bpe", "unlabelled", "a stream of problem generate"),
        (Conditional(), "bert", "wordpiece", "generate", "a student that can generate"),
    ],
)
def test_views_without_a_meaning(
    view: Any, name: str, kind: Any, problem: str, needs: str | None, slices: Path
) -> None:
    """Whichever objective asks for the view, before a weight is loaded."""
    tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=700, kind=kind)
    student: Any = Student(architecture={"model_type": name}, tokenizer=tokenizer)
    module = HybridModule(student, {"kd": Distillation("s", tokens=view)}, teacher=EMATeacher())
    if needs is None:
        module.check({"s": StreamInfo(problem)})
        return
    with pytest.raises(UserError) as error:
        module.check({"s": StreamInfo(problem)})
    assert str(error.value).startswith(f"model.objectives.kd: the view {type(view).__name__} needs {needs}")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_whole_words_in_chinese_are_tokens_or_characters(kind: Any, tmp_path: Path) -> None:
    """Never a clause, which has no space in it; English words in the same text stay whole."""
    text = "送餐很快，味道也不错。 This order came late，菜都凉了！"
    (tmp_path / "text.txt").write_text("\n".join([text, "order late came This"] * 20), encoding="utf-8")
    source = TextFiles(str(tmp_path / "text.txt"), unit="line")
    tokenizer = TrainedTokenizer(source, vocab_size=300, kind=kind).load()
    vocabulary = Vocabulary.of(tokenizer)
    vocabulary = replace(vocabulary, mask=vocabulary.end)  # any token will do as a mask
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = np.array(encoded["input_ids"]), encoded["offset_mapping"]
    seen = set()
    for seed in range(300):
        labels = mask_tokens(ids, vocabulary, np.random.default_rng(seed), 1e-9, whole_word=True)[1]
        hidden = np.flatnonzero(labels != IGNORE)  # of one word: at least one is chosen
        word = text[places[hidden[0]][0] : places[hidden[-1]][1]].strip(" ，。！")
        seen.add(word)
        assert len(hidden) == 1 or len(word) <= 2 or word in text.split("，")[1].split(), word
    assert {"This", "order", "came", "late"} <= seen
    assert all(any(han in word for word in seen) for han in "送餐很快味道菜凉")


def test_a_word_begins_at_each_chinese_token() -> None:
    """In vocabularies that mark words by the space before them, as RoBERTa's (bytes) and XLM-R's (SentencePiece)."""
    sentencepiece = ["▁the", "re", "▁", "好吃", "▁很", "，", ",量大", "ที่", "です", "é"]
    assert continuations(sentencepiece).tolist() == [False, True, *[False] * 7, True]
    names = bytes_to_unicode()

    def byte_level(raw: bytes) -> str:
        return "".join(names[b] for b in raw)

    tokens = [b" the", b"re", "好吃".encode(), "，".encode(), "好".encode()[:1], "好".encode()[1:], "é".encode(), b" "]
    expected = [False, True, False, False, False, True, True, False]
    assert continuations([byte_level(t) for t in tokens]).tolist() == expected
    assert continuations(["the", "##re", "好", "##吃"]).tolist() == [False, True, False, True]
