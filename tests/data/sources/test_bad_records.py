"""Bad records are counted up to `max_bad`, named with file and line, and never lost in silence."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from research.data.sources import CSV, JSONLines, LabelledLines, TextFiles
from research.data.sources.files import FileSource
from research.errors import UserError

LATIN = "Zoë's café".encode("latin-1")  # in the midst of UTF-8
Make = Callable[[str, int], FileSource]

LINES: Make = lambda path, bad: TextFiles(path, unit="line", max_bad=bad)  # noqa: E731
PARAGRAPHS: Make = lambda path, bad: TextFiles(path, max_bad=bad)  # noqa: E731
JSON: Make = lambda path, bad: JSONLines(path, label="label", max_bad=bad)  # noqa: E731
TABLE: Make = lambda path, bad: CSV(path, text="text", label="label", max_bad=bad)  # noqa: E731
LABELLED: Make = lambda path, bad: LabelledLines(path, max_bad=bad)  # noqa: E731

# A file, the texts that remain, and what is said of each line that is bad.
CASES: dict[str, tuple[Make, bytes, list[str], dict[int, str]]] = {
    "lines": (
        LINES,
        b"one\n" + LATIN + b"\ntwo\0\nthree\n",
        ["one", "three"],
        {2: "not utf-8", 3: "a NUL byte"},
    ),
    "paragraphs": (
        PARAGRAPHS,
        b"one\n\nfine\n" + LATIN + b"\n\ntwo\0\n\nthree\n",
        ["one", "three"],
        {3: "not utf-8", 6: "a NUL byte"},
    ),
    "json": (
        JSON,
        b'{"text": "one", "label": "x"}\n{"text": "tw\n["two"]\n{"text": 2, "label": "x"}\n{"label": "x"}\n'
        b'{"text": "' + LATIN + b'", "label": "x"}\n{"text": "two\0", "label": "x"}\n'
        b'{"text": "two", "label": ' + b"9" * 5000 + b"}\n" + b"[" * 5000 + b"\n"
        b'{"text": "three", "label": "x"}\n',
        ["one", "three"],
        {
            **{2: "10: not JSON", 3: "a JSON object is expected", 4: "text must be a string", 5: "no column 'text'"},
            **{6: "not utf-8", 7: "a NUL byte", 8: "not JSON: .* too deep", 9: "not JSON: .* too deep"},
        },
    ),
    "csv": (
        TABLE,
        b'text,label\n"one",x\nonly\ntoo,many,here\ntwo,\n"two" or,x\n' + LATIN + b',x\ntwo\0,x\n"thr\nee",x\n',
        ["one", "thr\nee"],
        {
            **{3: "1 columns", 4: "3 columns", 5: "label is empty", 6: "',' expected", 7: "not utf-8"},
            8: "a NUL byte",
        },
    ),
    "labelled": (
        LABELLED,
        b"x one\nx\nx " + LATIN + b"\nx tw\0o\nx three\n",
        ["one", "three"],
        {2: "a label and a text", 3: "not utf-8", 4: "a NUL byte"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_records_are_named_and_left_out(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, content, texts, bad = CASES[name]
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    source = make(str(path), len(bad))
    for _ in range(2):  # each reading counts anew
        caplog.clear()
        assert [record["text"] for record in source] == texts
        *left_out, total = caplog.messages
        assert total == f"{path}: {len(bad)} bad records were left out"
        for message, (line, reason) in zip(left_out, bad.items(), strict=True):
            assert re.match(rf"left out: {re.escape(str(path))}:{line}:.*{reason}", message)
    last, reason = list(bad.items())[-1]
    told = rf"^{re.escape(str(path))}:{last}:.*{reason}" + r".*; see max_bad\)$"
    with pytest.raises(UserError, match=told):
        list(make(str(path), len(bad) - 1))


@pytest.mark.parametrize(
    "content", [b'text,label\na,x\n"b\nc,x\n', b'text,label\na,x\n"b\nc"d,x\n', b'te"xt\n"a"b,x\n']
)
def test_quotes_that_leave_no_row_certain_refuse_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.csv:[123]: "):
        list(TABLE(str(path), 99))


def test_limit_holds_for_each_file_and_is_checked(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "fine"}\nbroken\n')
    assert len(list(JSONLines(str(tmp_path), max_bad=1))) == 2
    with pytest.raises(UserError, match=r"^max_bad is -1; it must be at least 0"):
        JSONLines(str(tmp_path), max_bad=-1)


def test_file_of_bad_records_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("broken\n")
    with pytest.raises(UserError, match=r"a\.jsonl: no records"):
        list(JSONLines(str(tmp_path), max_bad=1))
