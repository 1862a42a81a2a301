"""Figures of streams against counts of the files by csv, len and the tokenizer, and what is doubted."""

import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data import CorpusDataModule, MixtureDataModule, TaskDataModule
from research.data.inspect.doubts import doubts
from research.data.inspect.figures import Figures, figures_of, occurrences
from research.data.inspect.report import histograms, label_bars, length_table, stream_table
from research.data.masking import Conditional
from research.data.sources import CSV, JSONLines, TextFiles
from research.models import Student
from research.module import HybridModule
from research.objectives import Classification, MaskedLM


@pytest.fixture
def student(tiny: Any) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


@pytest.fixture
def rows(slices: Path) -> list[dict[str, str]]:
    with (slices / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figures(module: Any) -> Figures:
    return figures_of(module, module.stream("train"))


def test_a_task(student: Student, slices: Path, rows: list[dict[str, str]], connect: Any) -> None:
    source = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
    module = connect(TaskDataModule(source, validation=0, batch_size=len(rows), max_length=20), student)
    found = figures(module)
    ids = [student.tokenizer(row["text"], add_special_tokens=False)["input_ids"] for row in rows]
    lengths = np.array([len(row) for row in ids])
    assert found.texts["train"] == len(rows) and found.tokens == lengths.sum()
    assert np.array_equal(np.sort(found.lengths), np.sort(lengths))
    assert found.unknown.sum() == sum(row.count(student.tokenizer.unk_token_id) for row in ids) > 0
    assert found.cut == np.mean(lengths > 18) > 0
    assert found.labels == Counter(row["category"] for row in rows)
    kept = np.minimum(lengths, 18) + 2
    assert found.batches == 1 and found.padding == pytest.approx(1 - kept.sum() / (len(rows) * kept.max()))
    assert f"{lengths.sum():,}" in stream_table({"intents": found})
    quantiles = [f"{q:,.0f}" for q in np.quantile(lengths, (0, 0.5, 1))]
    row = length_table({"intents": found}).splitlines()[2].split()
    assert [row[1], row[3], row[5]] == quantiles
    assert f"{np.mean(lengths > 18):.1%}" in row
    assert all(str(count) in label_bars(found.labels) for count in found.labels.values())


def test_a_corpus(student: Student, slices: Path, connect: Any) -> None:
    source = TextFiles(str(slices / "wikitext.txt"), unit="line")
    module = connect(CorpusDataModule(source, validation=0, max_length=32, batch_size=8), student)
    found = figures(module)
    lines = [line for line in (slices / "wikitext.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    lengths = np.array([len(student.tokenizer(line, add_special_tokens=False)["input_ids"]) for line in lines])
    assert found.tokens == lengths.sum() and found.cut == np.mean(lengths > 30)
    assert found.batches == -(-sum(-(-n // 30) for n in lengths) // 8)
    assert found.labels == {} and found.values is None and found.targets is None
    bins = next(iter(histograms({"wiki": found}))).splitlines()[1:]
    counts = [re.fullmatch(r" *([\d,]+)(?: to ([\d,]+))?  +([\d,]+)(?:  #+)?", line) for line in bins]
    total = 0
    for found_bin in counts:
        assert found_bin is not None
        low, high, count = (int((part or found_bin[1]).replace(",", "")) for part in found_bin.groups())
        assert count == np.count_nonzero((lengths >= low) & (lengths <= high))
        total += count
    assert total == len(lines)


def test_pairs_numbers_and_targets(
    student: Student, tiny: Any, slices: Path, connect: Any, json_lines: Callable[..., JSONLines]
) -> None:
    pairs = [{"text": "the river", "text_pair": "a long river", "label": i / 2} for i in range(10)]
    found = figures(connect(TaskDataModule(json_lines(pairs), problem="regress", validation=0), student))
    length = len(student.tokenizer("the river a long river", add_special_tokens=False)["input_ids"])
    assert found.lengths.tolist() == [length] * 10
    assert found.values is not None and sorted(found.values) == pytest.approx([i / 2 for i in range(10)])
    source = CSV(str(slices / "e2e.csv"), "mr", target="ref")
    task = TaskDataModule(source, problem="generate", validation=0)
    t5 = tiny("t5")
    found = figures(connect(task, t5, views=[Conditional()]))
    with (slices / "e2e.csv").open(encoding="utf-8", newline="") as file:
        references = [row["ref"] for row in csv.DictReader(file)]
    targets = [len(t5.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in references]
    assert found.targets is not None and sorted(found.targets) == sorted(targets)


def test_texts_that_are_held_out_elsewhere_are_counted(
    student: Student, tmp_path: Path, json_lines: Callable[..., JSONLines]
) -> None:
    train = [{"text": f"text {i % 15}", "label": str(i % 2)} for i in range(20)]
    test = [{"text": f"TEXT  {i}", "label": str(i % 2)} for i in range(3)] + [{"text": "new", "label": "0"}]
    streams = {
        "task": TaskDataModule(json_lines(train), validation=0, test=json_lines(test, "test.jsonl")),
        "text": CorpusDataModule(json_lines(train), validation=0),
    }
    data = MixtureDataModule(streams, cache=str(tmp_path))
    data.connect(HybridModule(student, {"mlm": MaskedLM("text"), "ce": Classification("task")}))
    data.prepare_data()
    data.setup()
    for name, module in streams.items():
        found = figures(module)
        assert found.left_out == {"train": 6} and found.texts["train"] == 14  # texts 0 to 2, each there twice
        assert found.repeated == 2  # texts 3 and 4
        lines = list(doubts(name, found, batches=1, few_shot=False))
        assert f"data.streams.{name}: 6 train texts are in a held-out split too, and are left out" in lines
        assert f"data.streams.{name}: 2 of 14 training texts repeat another" in lines


def test_occurrences_in_a_table_of_several_chunks(student: Student) -> None:
    import pyarrow as pa

    chunks = [[[5, 1, 5], [], None], [[], [5]], [[1, 1]]]
    table = pa.table({"first": pa.chunked_array([pa.array(c, pa.list_(pa.int32())) for c in chunks])})
    assert occurrences(table, "first", 5).tolist() == [2, 0, 0, 0, 1, 0]
    assert occurrences(table, "first", 1).tolist() == [1, 0, 0, 0, 0, 2]
    assert occurrences(table, "first", None).tolist() == [0] * 6


def test_what_looks_wrong_is_said(student: Student, connect: Any, json_lines: Callable[..., JSONLines]) -> None:
    good = [{"text": f"the river runs {i}", "label": "ab"[i % 2]} for i in range(40)]
    assert list(doubts("s", figures(connect(TaskDataModule(json_lines(good), validation=0), student)), 5, False)) == []
    bad = [*good[:20], {"text": "", "label": "a"}, {"text": "东西很好吃", "label": "罕见"}]
    bad += [{"text": f"the river {i} " * 30, "label": "b"} for i in range(40)]
    task = TaskDataModule(json_lines(bad), validation=0, max_length=16, batch_size=62)
    found = figures(connect(task, student))
    lines = list(doubts("s", found, 0, False))
    for told in (
        "the run ends before this stream gives a batch",
        "65% of the texts are longer than max_length and lose their end",
        "1 training texts have no token",
        "most tokens of 1 training texts are unknown",
        "fewer than 10 training texts of 罕见 (1)",
    ):
        assert any(line.startswith("data.streams.s: ") and told in line for line in lines), (told, lines)
    assert not any("fewer than" in line for line in doubts("s", found, 0, few_shot=True))
    corpus = CorpusDataModule(json_lines(bad), validation=0, max_length=16, batch_size=1000)
    lines = list(doubts("s", figures(connect(corpus, student)), 1, False))
    assert any("65% of the texts are longer than max_length and become several windows" in line for line in lines)


def test_padding_is_doubted(student: Student, connect: Any, json_lines: Callable[..., JSONLines]) -> None:
    texts = [{"text": "river " * n} for n in (1, 1, 1, 40)]
    found = figures(connect(CorpusDataModule(json_lines(texts), validation=0, batch_size=4), student))
    longest = len(student.tokenizer("river " * 40, add_special_tokens=False)["input_ids"]) + 2
    assert (
        found.padding > 0.5 and f"{found.padding:.0%} of a batch is padding" in list(doubts("s", found, 1, False))[-1]
    )
    assert longest > 40
