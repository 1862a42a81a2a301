"""TextFiles, and what all file sources share: finding files, decompressing, decoding, fingerprints."""

import bz2
import gzip
import lzma
import re
from pathlib import Path

import pyarrow as pa
import pytest

from research.data.sources import CSV, TextFiles
from research.errors import UserError


@pytest.mark.parametrize("split", ["valid", "test"])
def test_wikitext_in_lines_paragraphs_and_whole(shared: Path, split: str) -> None:
    path = shared / "wikitext2" / f"{split}.txt"
    text = path.read_text(encoding="utf-8")

    lines = list(TextFiles(str(path), unit="line"))
    assert [record["text"] for record in lines] == [line.strip() for line in text.split("\n") if line.strip()]

    paragraphs = list(TextFiles(str(path), unit="paragraph"))
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    assert [record["text"] for record in paragraphs] == parts
    numbered = text.split("\n")
    for record in paragraphs:
        line = numbered[int(record["where"].removeprefix(f"{path}:")) - 1]
        assert line.strip() == record["text"].split("\n")[0].strip()

    (whole,) = TextFiles(str(path), unit="document")
    assert whole["text"] == text.strip()
    assert whole["where"] == f"{path}:2"  # the first line is blank


@pytest.mark.parametrize("unit", ["line", "paragraph", "document"])
def test_each_iteration_starts_anew(tmp_path: Path, unit: str) -> None:
    (tmp_path / "a.txt").write_text("one\n\n \ntwo\nthree")
    source = TextFiles(str(tmp_path), unit=unit)
    expected = {
        "line": [("one", 1), ("two", 4), ("three", 5)],
        "paragraph": [("one", 1), ("two\nthree", 4)],
        "document": [("one\n\n \ntwo\nthree", 1)],
    }[unit]
    records = [{"text": text, "where": f"{tmp_path}/a.txt:{line}"} for text, line in expected]
    assert list(source) == list(source) == records


@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("zst", lambda data: pa.Codec("zstd").compress(data, asbytes=True)),
    ],
)
def test_compressed_files(slices: Path, tmp_path: Path, ending: str, compress) -> None:
    plain = slices / "wikitext.txt"
    packed = tmp_path / f"wikitext.txt.{ending}"
    packed.write_bytes(compress(plain.read_bytes()))
    found = [record["text"] for record in TextFiles(str(tmp_path))]
    assert found == [record["text"] for record in TextFiles(str(plain))]

    packed.write_bytes(packed.read_bytes()[:-2000])
    with pytest.raises(UserError, match=rf"wikitext\.txt\.{ending}: cannot be read"):
        list(TextFiles(str(packed)))

    packed.write_bytes(compress(b"one\ntwo\xff\n"))
    with pytest.raises(UserError, match=rf"wikitext\.txt\.{ending}:2: not utf-8 at byte 7"):
        list(TextFiles(str(packed)))


def test_folders_globs_and_lists(tmp_path: Path) -> None:
    for name in ["b.txt", "a.txt", "deep/c.txt", "deep/d.md", "[x].txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    def found(*paths: str) -> list[str]:
        return [record["text"] for record in TextFiles([f"{tmp_path}/{path}" for path in paths])]

    assert found("") == ["[x].txt", "a.txt", "b.txt", "deep/c.txt"]
    assert found("?.txt") == ["a.txt", "b.txt"]
    assert found("**/*.txt") == found("")
    assert found("deep/d.md") == ["deep/d.md"]
    assert found("b.txt", "*.txt") == ["b.txt", "[x].txt", "a.txt"]
    assert found("[x].txt") == ["[x].txt"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none.txt", "no such file"),
        ("*.md", "matches no file"),
        ("empty", r"no \.txt file below this folder"),
    ],
)
def test_missing_files(tmp_path: Path, path: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    source = TextFiles(f"{tmp_path}/{path}")
    for use in (list, TextFiles.fingerprint):
        with pytest.raises(UserError, match=rf"paths: {re.escape(f'{tmp_path}/{path}')}: {told}"):
            use(source)


def test_empty_list_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="paths: the list is empty"):
        list(TextFiles([]))
    (tmp_path / "a.txt").write_text(" \n\n")
    for unit in "line", "paragraph", "document":
        with pytest.raises(UserError, match=r"a\.txt: no records"):
            list(TextFiles(str(tmp_path), unit=unit))


def test_undecodable_byte_far_into_the_file(tmp_path: Path) -> None:
    """The place is right whatever the size of the blocks the file is read in."""
    path = tmp_path / "a.txt"
    before = "naïve 文字 😀\n".encode() * 9_999
    path.write_bytes(before + "naïve ".encode() + b"\xe6\x96 word\n")
    with pytest.raises(UserError, match=rf"a\.txt:10000: not utf-8 at byte {len(before) + 7} "):
        list(TextFiles(str(path)))


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "shift_jis", "utf-8-sig"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("文字\n\n三\n", encoding=encoding)
    assert [record["text"] for record in TextFiles(str(tmp_path), encoding=encoding)] == ["文字", "三"]


def test_fingerprint_is_of_content_and_settings(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "moved.txt"
    first.write_text("one\n")
    second.write_text("one\n")
    same = TextFiles(str(first)).fingerprint()
    assert TextFiles([str(second)], encoding="UTF8").fingerprint() == same
    others = {
        TextFiles(str(first), unit="line").fingerprint(),
        TextFiles(str(first), encoding="latin-1").fingerprint(),
        TextFiles([str(first), str(second)]).fingerprint(),
        CSV(str(first), text="one").fingerprint(),
        CSV(str(first), text="two").fingerprint(),
    }
    second.write_text("two\n")
    others.add(TextFiles(str(second)).fingerprint())
    assert len(others - {same}) == 6
