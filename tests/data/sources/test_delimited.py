"""CSV and LabelledLines read the published formats by configuration alone, as pandas reads them."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from jsonargparse import ArgumentParser

from research.data.sources import CSV, LabelledLines, Source
from research.errors import UserError

# What a user writes for each data set, and how pandas reads the same file.
FORMATS = {
    "sst2/train.tsv": (
        {"text": 0, "label": 1, "delimiter": "\t", "header": False, "quoting": False},
        {"sep": "\t", "header": None, "quoting": 3},
        {"text": 0, "label": 1},
        6920,
    ),
    "banking77/train.csv": (
        {"text": "text", "label": "category"},
        {},
        {"text": "text", "label": "category"},
        10003,
    ),
    "stsb/sts-train.csv": (
        {"text": 5, "text_pair": 6, "label": 4, "delimiter": "\t", "header": False, "quoting": False},
        {"sep": "\t", "header": None, "quoting": 3, "names": range(9)},
        {"text": 5, "text_pair": 6, "label": 4},
        5749,
    ),
    "e2e/devset.csv": ({"text": "mr", "target": "ref"}, {}, {"text": "mr", "target": "ref"}, 4672),
    "waimai/waimai_10k.csv": (
        {"text": "review", "label": "label"},
        {},
        {"text": "review", "label": "label"},
        11987,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_published_format_reads_as_pandas_reads_it(shared: Path, name: str) -> None:
    settings, pandas, columns, count = FORMATS[name]
    parser = ArgumentParser()
    parser.add_argument("--source", type=Source)
    init = {"paths": str(shared / name), **settings}
    config = parser.parse_object({"source": {"class_path": "research.data.sources.CSV", "init_args": init}})
    records = list(parser.instantiate(config).source)

    frame = pd.read_csv(shared / name, dtype=str, keep_default_na=False, na_filter=False, **pandas)
    assert len(records) == len(frame) == count
    for field, column in columns.items():
        assert [record[field] for record in records] == frame[column].tolist()
    assert all(set(record) == {*columns, "where"} for record in records)


def test_where_is_the_line_on_which_a_row_starts(shared: Path) -> None:
    """Ten questions of BANKING77 run over two or more lines of the file."""
    path = shared / "banking77" / "train.csv"
    lines = path.read_bytes().decode().split("\n")
    records = list(CSV(str(path), text="text", label="category"))
    assert sum("\n" in record["text"] for record in records) == 10
    for record in records:
        start = lines[int(record["where"].removeprefix(f"{path}:")) - 1]
        assert start.lstrip('"').startswith(record["text"].split("\n")[0].replace('"', '""').rstrip("\r")[:20])
    assert records[-1]["where"] == f"{path}:{len(lines) - 1}"


def test_trec_needs_its_encoding(shared: Path) -> None:
    path = shared / "trec" / "train.all"
    records = list(LabelledLines(str(path), encoding="latin-1"))
    lines = path.read_bytes().decode("latin-1").splitlines()
    assert [f"{record['label']} {record['text']}" for record in records] == lines
    assert len(records) == 5452 and {record["label"] for record in records} == set("012345")
    # byte 3173 is the first of the file above 127
    line = path.read_bytes()[:3173].count(b"\n") + 1
    with pytest.raises(UserError, match=rf"train\.all:{line}: not utf-8 at byte 3173 .*encoding"):
        list(LabelledLines(str(path)))


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


BROKEN = {
    "too few": ("text,label\nbook a table,eat\nonly one\n", r":3: 1 columns, where exactly 2"),
    "too many": ("text,label\nbook,a,table\n", r":2: 3 columns, where exactly 2"),
    "NUL": ("text,label\nbook\0 a table,eat\n", r":2: a NUL byte"),
    "unclosed": (
        'text,label\na,b\n"book a table,eat\nmore,lines\n',
        r":3: a quote in this row is never closed",
    ),
    "after a quote": ('text,label\n"book" a table,eat\n', r":2: ',' expected"),
    "no column": (
        "question,label\nbook,eat\n",
        r":1: no column 'text' in the header; there is question, label",
    ),
    "empty label": ("text,label\nbook a table,\n", r":2: label is empty"),
    "empty file": ("", r"a\.csv: no records"),
    "header only": ("text,label\n", r"a\.csv: no records"),
    "not UTF-8": ("text,label\na,b\ncafé,eat\n".encode("latin-1"), r":3: not utf-8 at byte 18 .*`encoding`"),
    "cut short": ("text,label\ncafé".encode()[:-1], r":2: not utf-8 at byte 14"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_names_file_and_line(tmp_path: Path, name: str) -> None:
    content, told = BROKEN[name]
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(UserError, match=told) as caught:
        list(CSV(path, text="text", label="label"))
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


def test_fields_may_hold_quotes_delimiters_lines_and_long_documents(tmp_path: Path) -> None:
    long = "word " * 100_000
    path = write(tmp_path / "a.csv", f'\ufefftext,label\r\n\r\n"a ""b"", c\r\nd",x\r\n{long},y\r\n')
    first, second = CSV(path, text="text", label="label")
    assert first == {"text": 'a "b", c\r\nd', "label": "x", "where": f"{path}:3"}
    assert second == {"text": long, "label": "y", "where": f"{path}:5"}


def test_rows_without_header_may_be_longer_but_not_shorter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'x\ta "quote\ty\nx\n')
    rows = iter(CSV(path, text=1, delimiter=r"\t", header=False, quoting=False))
    assert next(rows)["text"] == 'a "quote'
    with pytest.raises(UserError, match=r"a\.tsv:2: 1 columns, where at least 2"):
        next(rows)


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(UserError, match=r"^label: without header .* 'category'"):
        CSV("a.csv", text=0, label="category", header=False)
    with pytest.raises(UserError, match=r"^delimiter: "):
        CSV("a.csv", text="text", delimiter=", ")
    with pytest.raises(UserError, match=r"^encoding: .* 'utf-9'"):
        CSV("a.csv", text="text", encoding="utf-9")


def test_labelled_line_without_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "DESC:manner How ?\n\nENTY\n")
    rows = iter(LabelledLines(path))
    assert next(rows) == {"text": "How ?", "label": "DESC:manner", "where": f"{path}:1"}
    with pytest.raises(UserError, match=r"a\.txt:3: .*'ENTY' alone"):
        next(rows)


def test_chinese_with_full_width_punctuation_in_gb18030(tmp_path: Path) -> None:
    rows = [("1", "很快，好吃，“味道”足"), ("0", "等了１个小时；菜凉了\n再也不点"), ("0", '他说"还行"，可是𠮷野家更好')]
    with (tmp_path / "reviews.csv").open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([("标签", "评论"), *rows])
    path = str(tmp_path / "reviews.csv")
    records = list(CSV(path, text="评论", label="标签", encoding="gb18030"))
    assert [(r["label"], r["text"]) for r in records] == rows
    assert [r["where"] for r in records] == [f"{path}:{line}" for line in (2, 3, 5)]
    with pytest.raises(UserError, match=r"reviews\.csv:1: not utf-8 .*gb18030"):
        list(CSV(path, text="评论"))
