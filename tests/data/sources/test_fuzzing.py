"""No damage to a real record makes a parser crash or hang: it gives records, counts bad ones, or a `UserError`."""

import bz2
import gzip
import importlib.util
import json
import lzma
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from research.data.sources import CSV, CommonCrawl, JSONLines, LabelledLines, Parquet, Reddit, TextFiles
from research.data.sources.files import FileSource, open_bytes
from research.data.sources.markdown import plain_text
from research.errors import UserError

spec = importlib.util.spec_from_file_location("mutate", Path(__file__).with_name("mutate.py"))
assert spec and spec.loader
mutate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mutate)

MANY = 10**9


@dataclass
class Format:
    """How a file is read, its name's ending, and how to take small real files out of the shared data."""

    source: Callable[[str], FileSource]
    ending: str
    files: Callable[[Path], list[bytes]]


def lines(name: str, each: int, count: int = 200, header: bytes = b"") -> Callable[[Path], list[bytes]]:
    """Files of `each` lines from all over the file `name`."""

    def files(shared: Path) -> list[bytes]:
        with open_bytes(shared / name) as stream:
            found = stream.read().splitlines(keepends=True)
        starts = random.Random(0).sample(range(1, len(found) - each), count)
        return [header + b"".join(found[start : start + each]) for start in starts]

    return files


def wet(shared: Path) -> list[bytes]:
    whole = (shared / "commoncrawl" / "whirlwind.warc.wet").read_bytes()
    start = whole.index(b"WARC/1.0", 1)
    return [whole, whole[start:], whole[start:] * 2]


def warc(shared: Path) -> list[bytes]:
    """The response with pieces of its page, since a whole one takes 34 ms to read."""
    whole = (shared / "commoncrawl" / "whirlwind.warc").read_bytes()
    start = whole.index(b"WARC/1.0\r\nWARC-Type: response")
    header, http, page = whole[start:].split(b"\r\n\r\n", 2)
    kept = b"\r\n".join(line for line in header.split(b"\r\n") if b"Digest" not in line)
    found = []
    for begin in range(0, 70_000, 1500):
        body = http + b"\r\n\r\n<html><body><article>" + page[begin : begin + 1500]
        found.append(kept.replace(b": 74581", b": %d" % len(body)) + b"\r\n\r\n" + body + b"\r\n\r\n")
    return found


def parquet(shared: Path) -> list[bytes]:
    rows = [file.decode("latin-1") for file in lines("trec/train.all", 1)(shared)]
    sink = pa.BufferOutputStream()
    table = pa.table({"text": rows, "label": [row[0] for row in rows]})
    pq.write_table(table, sink, row_group_size=50, compression="zstd")
    return [sink.getvalue().to_pybytes()]


comments = lines("reddit/comments.ndjson.zst", 3)
FORMATS = {
    "lines": Format(lambda path: TextFiles(path, "line", max_bad=MANY), ".txt", lines("wikitext2/test.txt", 4)),
    "paragraphs": Format(lambda path: TextFiles(path, max_bad=MANY), ".txt", lines("wikitext2/test.txt", 6)),
    "json": Format(lambda path: JSONLines(path, "body", label="score", max_bad=MANY), ".jsonl", comments),
    "csv": Format(
        lambda path: CSV(path, text="text", label="category", max_bad=MANY),
        ".csv",
        lines("banking77/train.csv", 4, header=b"text,category\n"),
    ),
    "tsv": Format(
        lambda path: CSV(path, 5, 6, 4, delimiter="\t", header=False, quoting=False, max_bad=MANY),
        ".tsv",
        lines("stsb/sts-train.csv", 3),
    ),
    "labelled": Format(
        lambda path: LabelledLines(path, encoding="latin-1", max_bad=MANY), ".txt", lines("trec/train.all", 4)
    ),
    "reddit": Format(lambda path: Reddit(path, min_score=0, max_bad=MANY), ".ndjson", comments),
    "wet": Format(lambda path: CommonCrawl(path, max_bad=MANY), ".wet", wet),
    "warc": Format(lambda path: CommonCrawl(path, max_bad=MANY), ".warc", warc),
    "parquet": Format(lambda path: Parquet(path, label="label", max_bad=MANY), ".parquet", parquet),
}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@contextmanager
def within(seconds: int, what: object) -> Iterator[None]:
    """Fails where the body takes longer."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still reading {what!r}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(form: Format, path: Path, data: bytes) -> tuple[int, bool]:
    """How many records came, and whether the file was refused. Each record can be written as UTF-8."""
    path.write_bytes(data)
    count = 0
    with within(20, data[:2000]):
        try:
            for record in form.source(str(path)):
                count += 1
                record["text"].encode()
                assert record["where"].startswith(f"{path}:")
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            return count, True
    return count, False


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_records(shared: Path, tmp_path: Path, name: str, count: int) -> None:
    form = FORMATS[name]
    found, refused = 0, 0
    for data in mutate.mutants(form.files(shared), count, seed=count):
        records, whole_file = read(form, tmp_path / f"damaged{form.ending}", data)
        found += records
        refused += whole_file
    assert found > 0 and refused < count


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_compression_is_never_silent(shared: Path, tmp_path: Path, ending: str, count: int) -> None:
    """All records of the file, or a refusal: what a damaged frame held cannot be counted."""
    whole = comments(shared)[:5]
    texts = {COMPRESS[ending](data): [json.loads(line)["body"] for line in data.splitlines()] for data in whole}
    path = tmp_path / f"damaged.jsonl.{ending}"
    for number, data in enumerate(mutate.mutants(list(texts), count, seed=count)):
        path.write_bytes(data)
        with within(20, data):
            try:
                found = [record["text"] for record in JSONLines(str(path), "body", max_bad=MANY)]
            except UserError as error:
                assert str(path) in str(error)
            else:
                assert found == list(texts.values())[number % len(texts)]


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes(shared: Path, tmp_path: Path, name: str) -> None:
    form, path = FORMATS[name], tmp_path / f"any{FORMATS[name].ending}"
    real = form.files(shared)[0]

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)), st.integers(0, len(real)))
    def any_bytes(data: bytes, place: int) -> None:
        read(form, path, real[:place] + data + real[place:])
        read(form, path, data)

    any_bytes()


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.text(alphabet=st.one_of(st.sampled_from("*_`~^>!<[]()#|\\-+1. \n\t&;"), st.characters()), max_size=200))
def test_markdown_of_any_text(body: str) -> None:
    with within(20, body):
        assert plain_text(body) == plain_text(body).strip()
