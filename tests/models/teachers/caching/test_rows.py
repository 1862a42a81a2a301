"""A row is known by what a teacher's answer depends on: neither by its padding, nor by the batch it comes in."""

from typing import Any

import numpy as np
import pytest
import torch

from research.data.batch import IGNORE, Batch, Row, Tokens, pad_rows
from research.data.masking import Conditional, Masked
from research.models.teachers.caching.rows import ends, examples_digest, row_keys, select
from research.step import Clean


@pytest.mark.parametrize(("name", "view"), [("bert", Masked(0.3)), ("t5", Conditional())])
def test_padding_does_not_count(name: str, view: Any, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name)
    targets = texts[::-1]
    tokens = batch_of(student, texts, [view], targets=targets).views[view]
    together = row_keys(tokens)
    assert together.dtype == np.uint64 and len(set(together.tolist())) == len(texts)
    longest, written = ends(tokens)
    for i in range(len(texts)):
        one = select(tokens, np.array([i]))
        cut = Tokens(one.ids[:, : longest[i]], one.mask[:, : longest[i]], one.labels[:, : written[i]])
        cut.types = None if one.types is None else one.types[:, : longest[i]]
        cut.decoder_ids = None if one.decoder_ids is None else one.decoder_ids[:, : written[i]]
        assert row_keys(cut)[0] == together[i]


def test_whatever_changes_an_answer_changes_the_key() -> None:
    def key(**change: Any) -> int:
        row = {"ids": np.array([5, 6, 7, 8]), "labels": np.array([IGNORE, 6, IGNORE, IGNORE]), "second": 3}
        return int(row_keys(pad_rows([Row(**{**row, **change})], 0, types=True))[0])

    changes: list[dict[str, Any]] = [
        {},
        {"ids": np.array([5, 6, 7, 9])},
        {"ids": np.array([5, 6, 7])},
        {"labels": np.array([IGNORE, 6, 7, IGNORE])},
        {"labels": None},
        {"second": 2},
        {"segments": np.array([1, 1, 2, 2])},
        {"cut": np.array([False, True, False, False])},
        {"decoder_ids": np.array([0, 6, 0, 0])},
    ]
    keys = [key(**change) for change in changes]
    assert len(set(keys)) == len(changes)
    assert key(labels=np.array([IGNORE, 9, IGNORE, IGNORE])) == keys[0], "which token is wanted changes no answer"


def test_a_digest_of_examples_knows_neither_order_nor_batches(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("bert")

    def digest(order: list[int], size: int, labels: list[int], names: str = "abc") -> str:
        def batch(some: list[int]) -> Batch:
            return batch_of(student, [texts[i] for i in some], [Clean()], [labels[i] for i in some])

        batches = (batch(order[i : i + size]) for i in range(0, len(order), size))
        return examples_digest(batches, names)

    labels = [0, 1, 2, 1, 0, 2, 2, 1]
    first = digest(list(range(8)), 3, labels)
    assert len(first) == 8 and first == digest([5, 2, 7, 1, 0, 3, 6, 4], 4, labels)
    assert first != digest(list(range(7)), 3, labels)
    assert first != digest(list(range(8)), 3, labels[::-1])
    assert first != digest(list(range(8)), 3, labels, "acb")


def test_select_keeps_all_parts(tiny: Any, texts: list[str], batch_of: Any) -> None:
    tokens = batch_of(tiny("bert"), texts, [Masked()]).views[Masked()]
    some = select(tokens, np.array([4, 1]))
    for name in ("ids", "mask", "labels", "types"):
        assert torch.equal(getattr(some, name), getattr(tokens, name)[[4, 1]])
