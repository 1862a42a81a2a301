"""Parquet on real questions and pairs, as pyarrow and JSONLines read them; on broken files."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.data.sources import CSV, JSONLines, Parquet
from research.errors import UserError


def test_real_pairs_in_row_groups(shared: Path, tmp_path: Path) -> None:
    """STS-B, written as a hub would publish it."""
    source = CSV(str(shared / "stsb" / "sts-dev.csv"), 5, 6, 4, delimiter="\t", header=False, quoting=False)
    rows = [(r["text"], r["text_pair"], float(str(r["label"]))) for r in source]
    table = pa.table(dict(zip(("one", "two", "score"), map(list, zip(*rows, strict=True)), strict=True)))
    path = tmp_path / "dev.parquet"
    pq.write_table(table, path, row_group_size=400)
    found = list(Parquet(str(tmp_path), text="one", text_pair="two", label="score"))
    assert [(r["text"], r["text_pair"], r["label"]) for r in found] == rows
    assert len(found) == 1500 and found[1499]["where"] == f"{path}:1500"


def test_same_fields_as_json_lines(tmp_path: Path) -> None:
    rows = [
        {"a": {"text": "x", "b": "y"}, "c.d": "z", "n": 3, "f": 2.5, "tags": ["p", "q"], "s": "u"},
        {"a": {"text": "好吃", "b": ""}, "c.d": "w", "n": 4, "f": 1.0, "tags": [], "s": "v"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = pa.Table.from_pylist(rows)
    table = table.set_column(5, "s", table["s"].dictionary_encode())
    pq.write_table(table, tmp_path / "a.parquet")
    for label in ("n", "f", "tags", "s"):
        settings = {"text": "a.text", "text_pair": "a.b", "target": "c.d", "label": label}
        found, expected = (
            [{**record, "where": ""} for record in source(str(tmp_path), **settings)] for source in (Parquet, JSONLines)
        )
        assert found == expected and len(found) == 2


def test_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None, "c"]}), path)
    with pytest.raises(UserError, match=r"a\.parquet:2: text must be a string, not null"):
        list(Parquet(str(path)))
    assert [record["text"] for record in Parquet(str(path), max_bad=1)] == ["a", "c"]
    with pytest.raises(UserError, match=r"a\.parquet: no column 'body'; there is text"):
        list(Parquet(str(path), text="body", max_bad=9))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-100], lambda data: data[100:], lambda data: b"PAR1", bytes.upper]
)
def test_broken_file(tmp_path: Path, damage) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a word or two"] * 1000}), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"a\.parquet: cannot be read: ") as caught:
        list(Parquet(str(path), max_bad=9))
    assert "\n" not in str(caught.value)


def test_after_passes_over_row_groups_unread(tmp_path: Path) -> None:
    """The first group is broken, which who reads it would notice."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(120)]}), path, row_group_size=50)
    whole = list(Parquet(str(path)))
    for source in (Parquet(str(path)), Parquet(str(path), max_bad=1)):
        for count in (0, 1, 49, 50, 51, 119, 120, 200):
            assert list(source.after(count)) == whole[count:]
    first = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    data = path.read_bytes()
    path.write_bytes(data[: first + 20] + bytes(50) + data[first + 70 :])
    assert list(Parquet(str(path)).after(50)) == whole[50:]
    with pytest.raises(UserError, match=r"a\.parquet: cannot be read: "):
        list(Parquet(str(path)).after(49))
    path.write_bytes(data)
    (tmp_path / "b.parquet").write_bytes(data)
    folder = Parquet(str(tmp_path))
    assert list(folder.after(170)) == list(folder)[170:] and len(list(folder)) == 240
