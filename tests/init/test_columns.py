"""What a file's columns are taken for, on published data sets whose descriptions say what they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from research.errors import UserError
from research.init.columns import columns_of, problem_of
from research.init.facts import corpus_of, task_of
from research.init.language import language_of
from research.init.table import table_of


def looked(path: Path, **asked: str) -> tuple[dict[str, str], str]:
    table = table_of(str(path), "utf-8")
    columns = columns_of(table, asked)
    return columns, problem_of(table, columns)


@pytest.mark.parametrize(
    ("path", "columns", "problem"),
    [
        ("sst2/dev.tsv", {"text": "0", "label": "1"}, "classify"),
        ("banking77/test.csv", {"text": "text", "label": "category"}, "classify"),
        ("stsb/sts-dev.csv", {"text": "5", "text_pair": "6", "label": "4"}, "regress"),
        ("waimai/waimai_10k.csv", {"text": "review", "label": "label"}, "classify"),
        ("e2e/devset.csv", {"text": "mr", "target": "ref"}, "generate"),
    ],
)
def test_published_sets_are_read_as_described(shared: Path, path: str, columns: dict[str, str], problem: str) -> None:
    assert looked(shared / path) == (columns, problem)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_lists_are_several_labels_and_names_outweigh_contents(tmp_path: Path) -> None:
    rows = [{"id": f"row {i} of it", "tags": ["a", "b"][: i % 3], "body": f"words {i}"} for i in range(9)]
    assert looked(write(tmp_path / "a.jsonl", rows)) == ({"text": "body", "label": "tags"}, "multilabel")


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    rows = [
        {"text": f"some words {i}", "title": f"others here {i}", "label": "ab"[i % 2], "n": i % 3} for i in range(9)
    ]
    asked = {"text": "title", "label": "n"}
    columns, _ = looked(write(tmp_path / "a.jsonl", rows), **asked)
    assert columns["text"] == "title" and columns["label"] == "n"


def test_whole_numbers_are_classes_unless_they_are_many(tmp_path: Path) -> None:
    rows = [{"text": f"some words {i}", "label": i % 5} for i in range(60)]
    assert looked(write(tmp_path / "few.jsonl", rows))[1] == "classify"
    rows = [{"text": f"some words {i}", "label": i} for i in range(60)]
    assert looked(write(tmp_path / "many.jsonl", rows))[1] == "regress"


def test_semicolons_and_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text("body;queue\nsome, words;x\nother, words;y\nthird, words;x\n")
    table = table_of(str(tmp_path / "a.csv"), "utf-8")
    assert table.settings == {"delimiter": ";"} and table.columns == ["body", "queue"]
    pq.write_table(
        pa.table({"body": ["some words", "more words", "x y"], "queue": ["x", "y", "x"]}), tmp_path / "a.parquet"
    )
    assert looked(tmp_path / "a.parquet") == ({"text": "body", "label": "queue"}, "classify")


def test_files_beside_a_training_file_are_its_splits(shared: Path) -> None:
    task = task_of(str(shared / "sst2" / "train.tsv"), {}, "utf-8")
    assert task.splits == {split: str(shared / "sst2" / f"{name}.tsv") for split, name in
                           (("validation", "dev"), ("test", "test"))}  # fmt: skip
    assert len(task.train) == len(task.records)


def test_the_split_keeps_each_label_in_training(tmp_path: Path) -> None:
    text = "text,label\n" + "".join(f"words number {i},{i // 3}\n" for i in range(60))
    (tmp_path / "a.csv").write_text(text.replace(",0\n", ",zero\n"))
    task = task_of(str(tmp_path / "a.csv"), {}, "utf-8")
    assert len(task.labels) == 20 and len(task.train) < 60


def test_languages(shared: Path) -> None:
    reviews = task_of(str(shared / "waimai" / "waimai_10k.csv"), {}, "utf-8").records
    assert language_of([record["text"] for record in reviews[:200]]) == "Chinese"
    wiki = corpus_of(str(shared / "wikitext2" / "valid.txt"), "utf-8").records
    assert language_of([record["text"] for record in wiki[:200]]) == "English"
    german = (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt."
    )
    assert language_of([german]) == "another"
    assert (
        language_of(["すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"])
        == "another"
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("empty.csv", "", "empty.csv: no records"),
        ("head.csv", "text,label\n", "head.csv: no records"),
        (
            "numbers.csv",
            "a,b\n1,2\n3,4\n3,2\n",
            "numbers.csv:1: no column holds texts of two words or more, by the",
        ),
        ("one.csv", "text,label\nsome words,x\nmore words,x\n", "one.csv:2: all 2 rows have the label 'x'"),
        ("texts.csv", "text\nsome words\nmore words\n", "no column of labels or of texts to write; there is text"),
        ("rare.csv", "text,label\nsome words,x\nmore words,y\n", "rare.csv:2: label 'x' has 1 of 2 rows"),
        ("wide.csv", "text,label\nsome words,x\nmore,words,y\n", "wide.csv:3: 3 columns"),
        ("hole.csv", "text,label\nsome words,x\nmore words,\nthird one,y\n", "hole.csv:3: label is empty"),
        ("open.csv", 'text,label\n"some words,x\nmore words,y\n', "open.csv:2: a quote in this row is never closed"),
        ("bad.jsonl", '{"text": "a b", "label": 1}\nnot\n', "bad.jsonl:2:1: not JSON"),
        ("a.xlsx", "text", "its ending is none of"),
        ("a.parquet", "text", "a.parquet: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as refused:
        task_of(str(tmp_path / name), {}, "utf-8")
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_other_refusals(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(UserError, match=r"--label queue: .*: no such column; there is text, category"):
        task_of(str(shared / "banking77" / "test.csv"), {"label": "queue"}, "utf-8")
    with pytest.raises(UserError, match="no such file"):
        task_of(str(tmp_path / "none.csv"), {}, "utf-8")
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"words of {i},{'ab'[i % 2]}\n" for i in range(20)))
    (tmp_path / "test.csv").write_text("body,label\nsome words,a\n")
    with pytest.raises(UserError, match=r"test\.csv:1: no column 'text'"):
        task_of(str(tmp_path / "train.csv"), {}, "utf-8")
    (tmp_path / "latin.csv").write_bytes("text,label\ncafé noir,x\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.csv:2: not utf-8"):
        task_of(str(tmp_path / "latin.csv"), {}, "utf-8")


def test_lines_without_blank_ones_between_are_texts(shared: Path, tmp_path: Path) -> None:
    lines = [f"line {i} of a list" for i in range(50)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    corpus = corpus_of(str(tmp_path), "utf-8")
    assert [record["text"] for record in corpus.records] == lines and corpus.settings["unit"] == "line"
    assert "unit" not in corpus_of(str(shared / "wikitext2" / "test.txt"), "utf-8").settings
