"""JSONLines on real comments and on broken lines."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from research.data.sources import JSONLines
from research.errors import UserError


def test_reddit_comments(shared: Path) -> None:
    path = shared / "reddit" / "comments.ndjson.zst"
    records = list(JSONLines(str(path), text="body", label="subreddit"))
    with pa.input_stream(str(path)) as stream:
        rows = [json.loads(line) for line in stream.read().split(b"\n") if line]
    assert len(records) == 18_000
    assert [(record["text"], record["label"]) for record in records] == [
        (row["body"], row["subreddit"]) for row in rows
    ]
    assert records[99]["where"] == f"{path}:100"


def test_nested_keys_and_every_field(tmp_path: Path) -> None:
    rows = [
        {"a": {"text": "x", "b": "y"}, "c.d": "z", "tags": ["p", 2]},
        {"a": {"text": "x", "b": "y"}, "c.d": "z", "tags": 3},
        {"a": {"text": "x", "b": "y"}, "c.d": "z", "tags": 2.5},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)))
    records = list(JSONLines(str(tmp_path), text="a.text", text_pair="a.b", target="c.d", label="tags"))
    assert [record.pop("label") for record in records] == [["p", "2"], "3", 2.5]
    assert records == [{"text": "x", "text_pair": "y", "target": "z", "where": f"{path}:{line}"} for line in (1, 3, 5)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": "a", }', r":2:15: not JSON"),
        ('{"text": "a"', r":2:13: not JSON"),
        ('["a"]', r":2: a JSON object is expected, not list"),
        ('{"body": "a", "label": "x"}', r":2: no column 'text'; there is body, label"),
        ('{"text": 5, "label": "x"}', r":2: text must be a string, not int '5'"),
        ('{"text": null, "label": "x"}', r":2: text must be a string, not null"),
        ('{"text": "a", "label": null}', r":2: label must be .*, not null"),
        ('{"text": "a", "label": {"b": 1}}', r":2: label must be .*, not dict"),
        ('{"text": "a", "label": ["x", null]}', r":2: label must be .*, not null"),
        ('{"text": "a\\ud83d", "label": "x"}', r":2: text holds half a surrogate pair at character 1"),
    ],
)
def test_broken_line_names_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "label": "x"}\n' + line + "\n")
    rows = iter(JSONLines(str(path), label="label"))
    assert next(rows)["text"] == "fine"
    with pytest.raises(UserError, match=told) as caught:
        next(rows)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
