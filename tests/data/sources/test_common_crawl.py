"""CommonCrawl on a real response and its published text, against warcio; on files with wrong lengths and garbage."""

import gzip
import io
import logging
import re
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from research.data.sources import CommonCrawl
from research.data.sources.warc import blocks
from research.errors import UserError

NAMES = ["whirlwind.warc", "whirlwind.warc.gz", "whirlwind.warc.wet", "whirlwind.warc.wet.gz"]
PAGE = {"url": "https://an.wikipedia.org/wiki/Escopete", "date": "2024-05-18T01:58:10Z"}


@pytest.fixture(scope="module")
def wet(shared: Path) -> bytes:
    return (shared / "commoncrawl" / "whirlwind.warc.wet").read_bytes()


@pytest.fixture(scope="module")
def warc(shared: Path) -> bytes:
    return (shared / "commoncrawl" / "whirlwind.warc").read_bytes()


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_record_by_record_as_warcio_reads_them(shared: Path, name: str) -> None:
    path = shared / "commoncrawl" / name
    data = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    found = list(blocks(io.BytesIO(data)))
    theirs = ArchiveIterator(io.BytesIO(data))
    expected = [(theirs.get_record_offset(), record.content_stream().read()) for record in theirs]
    assert [offset for offset, _, _ in found] == [offset for offset, _ in expected]
    for (_, block, fault), (_, content) in zip(found, expected, strict=True):
        assert not fault and block.endswith(content)


@pytest.mark.parametrize("name", NAMES)
def test_page(shared: Path, name: str) -> None:
    path = shared / "commoncrawl" / name
    (record,) = CommonCrawl(str(path))
    data = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    offset = int(record["where"].removeprefix(f"{path}:"))
    assert re.match(rb"WARC/1.0\r\nWARC-Type: (response|conversion)\r\n", data[offset:])
    assert record["meta"] == PAGE
    assert "A suya población ye de 84 habitants (2007), en una superficie de 19,01 km²" in record["text"]


def test_main_text_of_html_has_the_article_and_not_the_page_around_it(shared: Path) -> None:
    folder = shared / "commoncrawl"
    (page,), (whole,) = CommonCrawl(str(folder / "whirlwind.warc")), CommonCrawl(str(folder / "whirlwind.warc.wet"))
    around = ["Menú principal", "Politica de privacidat", "Cargar fichero", "Bahasa Melayu"]
    assert all(words in whole["text"] and words not in page["text"] for words in around)
    article = ["municipio d'a provincia de Guadalachara", "Felipe II de Castiella en 1578", "parroquial de l'Asunción"]
    assert all(words in whole["text"] and words in page["text"] for words in article)
    assert "<" not in page["text"]


def test_wet_text_is_the_published_one(shared: Path, wet: bytes) -> None:
    (record,) = CommonCrawl(str(shared / "commoncrawl" / "whirlwind.warc.wet"))
    assert record["text"] == wet.split(b"Content-Length: 4456\r\n\r\n")[1].decode().strip()


def test_languages(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The page is in Aragonese; Common Crawl's own label says Spanish."""
    path = str(shared / "commoncrawl" / "whirlwind.warc.wet.gz")
    (record,) = CommonCrawl(path, languages=["en", "an"])
    assert record["meta"] == {**PAGE, "language": "an"}
    with caplog.at_level(logging.INFO):
        assert list(CommonCrawl(path, languages=["en"])) == []
    assert f"{path}: passed over: 1 pages in other languages" in caplog.messages
    with pytest.raises(UserError, match=r"^languages: 'english' is none of .*, en, "):
        list(CommonCrawl(path, languages=["english"]))
    with pytest.raises(UserError, match=r"^languages: the list is empty"):
        CommonCrawl(path, languages=[])


def page(body: bytes, status: str = "200 OK", kind: str = "text/html; charset=utf-8") -> bytes:
    """A WARC response."""
    block = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n\r\n".encode() + body
    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(block)}"
    return head.encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


SENTENCE = "Der Straßenbahnfahrer aß früh am Morgen ein süßes Brötchen mit Käse und las dabei die Zeitung. "
HTML = f"<html><head><title>x</title></head><body><article><p>{SENTENCE * 5}</p></article></body></html>"


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml; charset=nonsense"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_charset_that_is_absent_wrong_or_unknown(tmp_path: Path, kind: str, encoding: str) -> None:
    path = write(tmp_path / "a.warc", page(HTML.encode(encoding), kind=kind))
    (record,) = CommonCrawl(path)
    assert record["text"] == (SENTENCE * 5).strip()


def test_pages_passed_over_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    html = HTML.encode()
    pages = [page(html), page(html, "404 Not Found"), page(b"%PDF", kind="application/pdf"), page(b"<html></html>")]
    path = write(tmp_path / "a.warc", b"".join(pages))
    with caplog.at_level(logging.INFO):
        assert len(list(CommonCrawl(path))) == 1
    reasons = ["pages that were not served", "pages that are no HTML", "pages without main text"]
    assert [f"{path}: passed over: 1 {reason}" for reason in reasons] == caplog.messages


LENGTH = b"Content-Length: 4456"
DAMAGE = {
    "too short": (lambda wet: wet.replace(LENGTH, b"Content-Length: 4000"), 635, "4000, which is not where"),
    "too long": (lambda wet: wet.replace(LENGTH, b"Content-Length: 4500"), 635, "4500, which is not where"),
    "far too long": (
        lambda wet: wet.replace(LENGTH, b"Content-Length: 44560"),
        635,
        "44560, where [0-9]+ bytes",
    ),
    "of 12 digits": (lambda wet: wet.replace(LENGTH, LENGTH + b"00000000"), 635, "records of more than"),
    "no number": (lambda wet: wet.replace(LENGTH, b"Content-Length: 4x"), 635, "gives no Content-Length"),
    "negative": (lambda wet: wet.replace(LENGTH, b"Content-Length: -4"), 635, "gives no Content-Length"),
    "absent": (lambda wet: wet.replace(LENGTH + b"\r\n", b""), 635, "gives no Content-Length"),
    "other text": (lambda wet: wet.replace(b"Escopete ye un", b"Escopete ye os"), 635, "does not have the digest"),
    "not UTF-8": (
        lambda wet: wet.replace("población".encode(), b"poblaci\xf3\xf3n").replace(b"WARC-Block-Digest", b"X"),
        635,
        "can't decode byte 0xf3",
    ),
    "NUL": (
        lambda wet: wet.replace(b"Escopete ye un", b"Escopete\0ye un").replace(b"WARC-Block-Digest", b"X"),
        635,
        "a NUL byte",
    ),
    "version": (lambda wet: wet[:700].replace(b"\n\r\nWARC/1.0", b"\n\r\nWARC/2.0") + wet[700:], 635, "WARC record"),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_bad_record_is_named_and_the_next_one_read(tmp_path: Path, wet: bytes, name: str, ending: str) -> None:
    damage, offset, told = DAMAGE[name]
    data = damage(wet) + wet
    path = write(tmp_path / f"a.wet{ending}", gzip.compress(data) if ending else data)
    with pytest.raises(UserError, match=rf"^{re.escape(path)}:{offset}: .*{told}"):
        list(CommonCrawl(path))
    (good,) = CommonCrawl(path, max_bad=1)
    assert good["where"] == f"{path}:{data.rindex(b'WARC/1.0')}" and good["meta"] == PAGE


def test_garbage_between_records(tmp_path: Path, wet: bytes, caplog: pytest.LogCaptureFixture) -> None:
    garbage = b"\0\xffWARC/1.0 is a format\r\n\r\n" * 9000  # more than is read at once
    path = write(tmp_path / "a.wet", garbage + wet + garbage + wet + garbage)
    assert len(list(CommonCrawl(path, max_bad=3))) == 2
    places = [0, len(garbage + wet), len(garbage + wet) * 2]
    assert caplog.messages[:3] == [f"left out: {path}:{place}: a WARC record is expected here" for place in places]
    with pytest.raises(UserError, match=rf":{places[2]}: .* \(2 bad records before it were left out; see max_bad\)"):
        list(CommonCrawl(path, max_bad=2))


def test_torn_files(tmp_path: Path, warc: bytes, wet: bytes) -> None:
    path = write(tmp_path / "a.warc", warc[:50_000])
    with pytest.raises(UserError, match=r":1375: Content-Length is 74581, where 48036 bytes follow"):
        list(CommonCrawl(path))
    members = gzip.compress(wet) * 2
    for cut in (1, 5, 1000):
        path = write(tmp_path / "a.wet.gz", members[:-cut])
        with pytest.raises(UserError, match=r"a\.wet\.gz:[0-9]+: cannot be read .*: Compressed file ended"):
            list(CommonCrawl(path, max_bad=9))
    path = write(tmp_path / "a.wet.gz", members[:-2000] + b"garbage" + members[-1993:])
    with pytest.raises(UserError, match=r"a\.wet\.gz:[0-9]+: cannot be read after"):
        list(CommonCrawl(path, max_bad=9))
