"""Windows and packed blocks lose no token; splits are by text and agree between streams."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data import CorpusDataModule
from research.data.batch import IGNORE
from research.data.corpus import Windows
from research.data.masking import NextToken
from research.data.packing import Packed
from research.data.sources import TextFiles
from research.data.stream_module import StreamDataModule
from research.data.tokenised import Column
from research.errors import UserError
from research.step import Clean


@pytest.fixture
def wiki(slices: Path) -> TextFiles:
    return TextFiles(str(slices / "wikitext.txt"), unit="paragraph")


def texts(module: StreamDataModule, split: str) -> list[str]:
    """The documents of a split, by where they are told to stand."""
    table, rows = module.rows[split]
    lines = {record["where"]: record["text"] for record in module.source}
    return [lines[where] for where in np.array(table["where"].to_pylist())[rows]]


@pytest.mark.parametrize("length", [8, 20, 57, None])
def test_windows_concatenate_to_the_documents(length: int | None, tiny: Any, wiki: TextFiles, connect: Any) -> None:
    student = tiny("bert", architecture={"max_position_embeddings": 64})
    module = connect(CorpusDataModule(wiki, max_length=length), student)
    room = (length or 64) - 2
    for split in ("train", "validation"):
        windows, labels = module.examples(split)
        assert labels is None
        table, rows = module.rows[split]
        documents: dict[int, list[np.ndarray]] = {int(row): [] for row in rows}
        for i in range(len(windows.lengths)):
            example = windows[i]
            assert 0 < len(example.first) == windows.lengths[i] <= room
            documents[int(windows.row[i])].append(example.first)
        for row, parts in documents.items():
            whole = Column(table, "first")[row]
            assert np.array_equal(np.concatenate(parts), whole)
            sizes = [len(part) for part in parts]
            assert len(parts) == -(-len(whole) // room), "as few as fit"
            assert max(sizes) - min(sizes) <= 1, "and of nearly equal length"


def test_batches_fit_the_student(tiny: Any, wiki: TextFiles, connect: Any) -> None:
    for name, longest in (("bert", 64), ("gpt2", 128)):
        given = {"architecture": {"max_position_embeddings": 64}} if name == "bert" else {}
        student = tiny(name, **given)
        part = connect(CorpusDataModule(wiki, batch_size=4), student, name=name).stream("train")
        widths = [part[p].views[Clean()].ids.shape[1] for p in range(len(part))]
        assert max(widths) <= longest and max(widths) > longest - 5


def test_a_student_without_a_limit_gets_windows_of_512(tiny: Any, connect: Any, counted: Any) -> None:
    source = counted(["the river " * 700])
    windows, _ = connect(CorpusDataModule(source, validation=0.0), tiny("t5")).examples("train")
    assert windows.lengths.max() <= 511 and len(windows.lengths) == -(-windows.lengths.sum() // 511) > 1


def test_empty_documents_give_no_window(tiny: Any, counted: Any, connect: Any) -> None:
    module = connect(CorpusDataModule(counted(["some text", "", "more"]), validation=0.0), tiny("bert"))
    assert len(module.examples("train")[0].lengths) == 2
    packed = connect(CorpusDataModule(counted(["a", "", "b"]), validation=0.0, pack="stream"), tiny("gpt2"))
    assert packed.examples("train")[0].lengths.sum() == 2 + 3


@pytest.mark.parametrize("length", [8, 33, 128])
def test_packed_blocks_are_all_documents_with_their_ends(length: int, tiny: Any, wiki: TextFiles, connect: Any) -> None:
    student = tiny("gpt2")
    module = connect(CorpusDataModule(wiki, pack="stream", max_length=length, batch_size=4), student)
    blocks, _ = module.examples("train")
    table, rows = module.rows["train"]
    column, end = Column(table, "first"), student.vocabulary.end
    expected = [token for row in rows for token in [*column[row], end]]
    got = [blocks[i].first for i in range(len(blocks.lengths))]
    assert [token for block in got for token in block] == expected
    assert {len(block) for block in got[:-1]} == {length - 1} and len(got[-1]) <= length - 1
    assert [len(block) for block in got] == blocks.lengths.tolist()


def test_packed_batches_have_no_padding_and_a_loss_at_every_token(tiny: Any, wiki: TextFiles, connect: Any) -> None:
    student = tiny("gpt2")
    module = connect(CorpusDataModule(wiki, pack="stream", max_length=64, batch_size=4), student, [NextToken()])
    part = module.stream("train")
    rows = [row for p in range(len(part)) for row in part[p].views[NextToken()].mask]
    short = [row for row in rows if not row.all()]
    assert len(short) <= 1, "the last block alone may be shorter"
    tokens = next(part[p].views[NextToken()] for p in range(len(part)) if part[p].views[NextToken()].mask.all())
    assert torch.equal(tokens.labels[:, :-1], tokens.ids[:, 1:]) and (tokens.labels[:, -1] == IGNORE).all()


@pytest.mark.parametrize("pack", [None, "stream", "best_fit"])
def test_where_a_window_stands(pack: Any, tiny: Any, wiki: TextFiles, connect: Any) -> None:
    student = tiny("gpt2")
    module = connect(CorpusDataModule(wiki, pack=pack, max_length=32), student)
    lines = {record["where"]: record["text"] for record in wiki}
    examples, _ = module.examples("train")
    for i in range(0, len(examples.lengths), 7):
        begin = student.tokenizer.decode(examples[i].first[:3])
        assert begin.split("<|endoftext|>")[0] in lines[module.where("train", i)]


def test_windows_and_blocks_of_some_rows(counted: Any, tiny: Any, connect: Any) -> None:
    """The rows that a split leaves out are left out in the middle, too."""
    student = tiny("gpt2")
    documents = ["the first", "the second one", "a third", "and the fourth"]
    table, _ = connect(CorpusDataModule(counted(documents), validation=0.0), student).rows["train"]
    rows, column = np.array([1, 3]), Column(table, "first")
    windows, blocks = Windows(table, rows, 3), Packed(table, rows, 3, end=0)
    wanted = [token for row in rows for token in column[row]]
    assert [t for i in range(len(windows.lengths)) for t in windows[i].first] == wanted
    packed = [t for i in range(len(blocks.lengths)) for t in blocks[i].first]
    assert packed == [*column[1], 0, *column[3], 0]


def test_shares_of_the_splits(tiny: Any, connect: Any, counted: Any) -> None:
    source = counted([f"text number {i}" for i in range(3000)])
    module = connect(CorpusDataModule(source, validation=0.2, test=0.1), tiny("bert"))
    sizes = {split: len(rows) for split, (_, rows) in module.rows.items()}
    assert sum(sizes.values()) == 3000
    for split, wanted in {"train": 0.7, "validation": 0.2, "test": 0.1}.items():
        assert abs(sizes[split] / 3000 - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 3000)


def test_equal_texts_fall_into_one_split(tiny: Any, connect: Any, counted: Any) -> None:
    source = counted([f"Text  {i % 100}" if i % 2 else f"text {i % 100}" for i in range(1000)])
    module = connect(CorpusDataModule(source, validation=0.3, test=0.3), tiny("bert"))
    splits = {split: {" ".join(t.lower().split()) for t in texts(module, split)} for split in module.rows}
    assert all(len(content) > 10 for content in splits.values())
    assert not splits["train"] & splits["validation"]
    assert not splits["train"] & splits["test"] and not splits["validation"] & splits["test"]


def test_split_seed_and_order_of_the_source(tiny: Any, connect: Any, counted: Any) -> None:
    student, lines = tiny("bert"), [f"text number {i}" for i in range(300)]

    def held_out(order: list[str], seed: int = 0) -> set[str]:
        module = connect(CorpusDataModule(counted(order), validation=0.2, split_seed=seed), student)
        return set(texts(module, "validation"))

    assert held_out(lines) == held_out(lines[::-1])
    assert len(held_out(lines) & held_out(lines, seed=1)) < 0.5 * len(held_out(lines))


def test_a_test_source_that_overlaps_training_is_held_out(
    tiny: Any, connect: Any, counted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"text number {i}" for i in range(100)]
    official = counted([*(line.upper() for line in lines[:10]), "new text"])
    module = CorpusDataModule(counted(lines), validation=0.2, test=official)
    with caplog.at_level(logging.INFO, "research"):
        connect(module, tiny("bert"))
    kept = set(texts(module, "train")) | set(texts(module, "validation"))
    assert kept == set(lines[10:])
    assert len(module.rows["test"][1]) == 11
    told = [record.getMessage() for record in caplog.records if "held out elsewhere" in record.getMessage()]
    counts = {message.split()[2]: int(message.split()[1]) for message in told}
    assert sum(counts.values()) == 10 and set(counts) <= {"train", "validation"}


def test_validation_source_and_test_source(tiny: Any, connect: Any, counted: Any) -> None:
    lines = [f"text number {i}" for i in range(20)]
    validation, test = (
        counted(["text number 1", "text number 2"]),
        counted(["text number 2", "text number 3"]),
    )
    module = connect(CorpusDataModule(counted(lines), validation=validation, test=test), tiny("bert"))
    assert set(texts(module, "train")) == set(lines) - {"text number 1", "text number 2", "text number 3"}
    assert {split: len(rows) for split, (_, rows) in module.rows.items()} == {
        "train": 17, "validation": 1, "test": 2,
    }  # fmt: skip


def test_nothing_left_to_train_on(tiny: Any, connect: Any, counted: Any) -> None:
    module = CorpusDataModule(counted(["one", "two"]), validation=0.0, test=counted(["One", "two "]))
    with pytest.raises(UserError, match=r"data\.streams\.stream\.init_args\.source: no training text is left"):
        connect(module, tiny("bert"))


@pytest.mark.parametrize(
    "given, told",
    [
        ({"validation": 0.6, "test": 0.4}, "must be shares"),
        ({"validation": -0.1}, "must be shares"),
        ({"validation": 1.0}, "must be shares"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_refused_at_once(given: dict[str, Any], told: str, counted: Any) -> None:
    with pytest.raises(UserError, match=told):
        CorpusDataModule(counted(["a"]), **given)


@pytest.mark.parametrize("length, told", [(65, "65; the student takes 64 tokens"), (7, "7; it must be at least 8")])
def test_max_length_that_does_not_fit(length: int, told: str, tiny: Any, connect: Any, counted: Any) -> None:
    student = tiny("bert", architecture={"max_position_embeddings": 64})
    with pytest.raises(UserError, match=rf"data\.streams\.stream\.init_args\.max_length is {told}"):
        connect(CorpusDataModule(counted(["a"]), max_length=length), student)


def test_fingerprints_of_a_run(tiny: Any, connect: Any, counted: Any) -> None:
    def prints(lines: list[str]) -> dict[str, str]:
        module = CorpusDataModule(counted(lines), test=counted(["test"]))
        return connect(module, tiny("bert"), setup=False).fingerprint()

    first = prints(["one", "two"])
    assert set(first) == {"train", "test", "tokenizer"} and first == prints(["one", "two"])
    changed = prints(["one", "three"])
    assert changed["train"] != first["train"] and changed["test"] == first["test"]
