"""A trimmed vocabulary reads its corpus as the whole one does, and its model makes the same of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.batch import Batch
from research.data.sources import TextFiles
from research.errors import UserError
from research.models import Student, TrainedTokenizer, TrimmedTokenizer
from research.models.trimmed import cut_vocabulary, rows_of, trimmed
from research.step import Clean

KINDS = {"bert": "wordpiece", "gpt2": "bpe", "t5": "unigram"}


@pytest.fixture(params=KINDS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(family: str, slices: Path) -> Any:
    return TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=700, kind=KINDS[family]).load()


def tokens(tokenizer: Any, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_texts_of_the_corpus_have_the_same_tokens(tokenizer: Any, texts: list[str]) -> None:
    small = trimmed(tokenizer, texts)
    assert len(small) < 0.7 * len(tokenizer)
    for text in texts:
        assert tokens(small, text) == tokens(tokenizer, text)
    assert small.special_tokens_map == tokenizer.special_tokens_map
    rows = rows_of(tokenizer, small)
    assert (np.diff(rows) > 0).all()  # in their order, each once
    ids = small(texts[0], add_special_tokens=False)["input_ids"]
    assert rows[ids].tolist() == tokenizer(texts[0], add_special_tokens=False)["input_ids"]


def test_any_text_of_the_same_letters_can_be_read(tokenizer: Any, texts: list[str]) -> None:
    small = trimmed(tokenizer, texts)
    backwards = texts[2][::-1]
    assert small.unk_token not in tokens(small, backwards)
    spaced = "".join(small.decode(small(backwards, add_special_tokens=False)["input_ids"]).split())
    assert spaced == "".join(backwards.lower().split() if small.unk_token == "[UNK]" else backwards.split())


def test_most_frequent_tokens_are_kept(tokenizer: Any, texts: list[str]) -> None:
    least = len(trimmed(tokenizer, ["a"]))
    most = len(trimmed(tokenizer, texts))
    size = (len(trimmed(tokenizer, texts, vocab_size=most - 30)), most - 30)
    assert size[1] - 5 < size[0] <= size[1]  # a BPE may have no room for a token with its parts
    small = trimmed(tokenizer, ["zebra", *["the"] * 50, *texts], vocab_size=most - 30)
    assert tokens(small, "the the") == tokens(tokenizer, "the the")
    with pytest.raises(UserError, match=r"a vocabulary of \d+ has no room for the \d+ special tokens and letters"):
        trimmed(tokenizer, texts, vocab_size=least - 1)


def test_model_with_a_cut_vocabulary_says_the_same(
    family: str, tiny: Callable[..., Student], texts: list[str], batch_of: Callable[..., Batch]
) -> None:
    student = tiny(family)

    @torch.no_grad()
    def said() -> tuple[torch.Tensor, torch.Tensor]:
        tokens = batch_of(student, texts, [Clean()]).views[Clean()]
        hidden = student(tokens).hidden
        return hidden, student.vocabulary_head(hidden[:, 0]).logits

    hidden, logits = said()
    whole = student.tokenizer
    small = trimmed(whole, texts)
    rows = rows_of(whole, small)
    cut_vocabulary(student.model, rows, student.config)
    student.tokenizer = small
    del student.vocabulary
    now, of_rows = said()
    torch.testing.assert_close(now, hidden)
    torch.testing.assert_close(of_rows, logits[:, rows])
    assert student.config.vocab_size == len(small) == student.model.config.vocab_size
    assert student.model.config.pad_token_id == student.vocabulary.pad


def test_words_of_a_real_tokenizer(minilm_tokenizer: Any, slices: Path) -> None:
    lines = (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines()[:200]
    small = trimmed(minilm_tokenizer, lines)
    assert len(small) < 5000
    for line in lines:
        assert tokens(small, line) == tokens(minilm_tokenizer, line)


@pytest.fixture
def published(tiny: Callable[..., Student], tmp_path: Path) -> Path:
    student = tiny("bert").float()
    student.model.save_pretrained(tmp_path / "published")
    student.tokenizer.save_pretrained(tmp_path / "published")
    return tmp_path / "published"


def test_student_of_a_backbone(published: Path, texts: list[str], tmp_path: Path, batch_of: Any) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    source = TextFiles(str(tmp_path / "texts.txt"), unit="line")
    whole, small = Student(str(published)), Student(str(published), tokenizer=TrimmedTokenizer(source))
    embeddings = []
    for student in (whole, small):
        student.build()
        with torch.no_grad():
            encoded = student.eval()(batch_of(student, texts, [Clean()]).views[Clean()])
            embeddings.append(student.embedding(encoded))
    torch.testing.assert_close(*embeddings)
    count = [sum(p.numel() for p in student.parameters()) for student in (whole, small)]
    assert count[0] - count[1] == (len(whole.tokenizer) - len(small.tokenizer)) * (whole.width + 1)  # the bias too


def test_an_architecture_has_nothing_to_trim(slices: Path) -> None:
    trimming = TrimmedTokenizer(TextFiles(str(slices / "wikitext.txt")))
    with pytest.raises(UserError, match="TrimmedTokenizer is for a backbone"):
        Student(architecture={"model_type": "bert"}, tokenizer=trimming)
