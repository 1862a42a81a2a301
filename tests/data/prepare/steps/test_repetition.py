from pathlib import Path

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter

from research.data.prepare.steps import Blank, Repetition


def test_defaults_are_those_of_gopher(comments: list[str]) -> None:
    ours, theirs = Repetition(), GopherRepetitionFilter(language="en")
    documents = [*comments[:100], "one line of a page\n" * 9, "buy it now " * 30]
    decided = [ours.filter(Document(text, "")) for text in documents]
    assert decided == [theirs.filter(Document(text, "")) for text in documents]
    assert decided[-2:] == [(False, "dup_line_frac"), (False, "top_2_gram")]
    assert decided.count(True) > 50


def test_settings() -> None:
    text = Document("one line of a page\n" * 9, "")
    loose = Repetition(lines=1, line_characters=1, top_ngrams={}, repeated_ngrams={})
    assert loose.filter(text) is True
    assert Repetition(lines=1, line_characters=1, top_ngrams={2: 0.1}, repeated_ngrams={}).filter(text) == (
        False,
        "top_2_gram",
    )


def test_blank() -> None:
    assert [Blank().filter(Document(text, "")) for text in (" \n", "", "a")] == [False, False, True]


def test_filters_of_datatrove_work_without_a_network(slices: Path, shared: Path) -> None:
    """Tokenizers of English and of Chinese download nothing."""
    lines = (slices / "wikitext.txt").read_text(encoding="utf-8").replace("<unk>", "thing").splitlines()
    prose = Document(next(line.strip() for line in lines if len(line) > 600), "")
    assert GopherQualityFilter(language="en").filter(prose) is True
    assert C4QualityFilter(min_num_sentences=2, language="en").filter(prose) is True
    assert GopherQualityFilter(language="en").filter(Document("Two words .", "")) == (False, "gopher_short_doc")
    code = Document("This line is long enough to keep. So is its end.\nint main() { return 0; }.", "")
    assert C4QualityFilter(language="en").filter(code) == (False, "curly_bracket")
    pytest.importorskip("jieba", reason="the extra chinese is not installed")
    chinese = GopherQualityFilter(min_doc_words=5, min_avg_word_length=1, min_stop_words=0, language="cmn")
    assert chinese.filter(Document("味道很好送餐也快，下次还会再来", "")) is True
    assert chinese.filter(Document("很好。", "")) == (False, "gopher_short_doc")
