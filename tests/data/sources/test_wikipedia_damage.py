"""Wikipedia and its markup under damage: random markup, mutated real pages and mutated files."""

import bz2
import logging
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("mwparserfromhell")

from research.data.sources import Wikipedia
from research.data.sources.wikitext import to_text
from research.errors import UserError

WHOLE = b"""<page><title>T</title><ns>0</ns><id>%d</id>
  <revision><timestamp>2024-05-01T00:00:00Z</timestamp><text>Whole %d.</text></revision></page>
"""
MARKS = [
    "{{",
    "}}",
    "[[",
    "]]",
    "{|",
    "\n|}",
    "\n|-",
    "|",
    "||",
    "\n!",
    "<ref>",
    "</ref>",
    "<ref name=x/>",
    "<!--",
    "-->",
]
MARKS += ["<nowiki>", "</nowiki>", "<math>", "</math>", "<div ", "</div>", ">", "<", "'''", "''", "\n==", "==\n", "\n*"]
MARKS += ["[http://a ", "]", "-{", "}-", "zh-cn:", ";", "&lt;", "&#0;", "&#xD800;", "{{{", "}}}", "File:", "Category:"]


@pytest.fixture(scope="module")
def content(shared: Path) -> bytes:
    (path,) = (shared / "enwiki").glob("*.xml.bz2")
    return bz2.decompress(path.read_bytes())


@pytest.fixture(scope="module")
def header(content: bytes) -> bytes:
    return content.partition(b"  <page>")[0]


@pytest.fixture(scope="module")
def real_pages(content: bytes) -> list[bytes]:
    return re.findall(rb"  <page>.*?</page>\n", content, re.DOTALL)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=8), max_size=60).map("".join))
def test_any_markup_becomes_text(markup: str) -> None:
    text = to_text(markup)
    text.encode()
    assert text == text.strip() and "\n\n" not in text


def mutated(pages: list[bytes], random: random.Random) -> bytes:
    """A real page, cut to at most 12 kB, with one to eight spans deleted, doubled, swapped or overwritten."""
    content = bytearray(random.choice(pages))
    del content[12_000 : max(12_000, content.find(b"</text>"))]
    for _ in range(random.randint(1, 8)):
        at, length = random.randrange(len(content)), random.choice([1, 3, 20, 400])
        match random.randrange(5):
            case 0:
                del content[at : at + length]
            case 1:
                content[at:at] = content[at : at + length] * random.randint(1, 40)
            case 2:
                other = random.choice(pages)
                start = random.randrange(len(other))
                content[at : at + length] = other[start : start + length]
            case 3:
                content[at:at] = random.choice(MARKS).replace("<", "&lt;").encode() * random.choice([1, 1, 1, 50])
            case 4:
                content[at] = random.choice([0, 1, 9, 60, 62, 38, 255, 195, random.randrange(256)])
    return bytes(content)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_real_pages(
    header: bytes, real_pages: list[bytes], tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happened to a page, it costs no other page: those between the mutated ones are all read."""
    caplog.set_level(logging.ERROR)
    rng = random.Random(count)
    pages = []
    for number in range(count):
        pages.append(mutated(real_pages, rng))
        if number % 10 == 9:
            pages.append(WHOLE % (10**9 + number, number))
    path = tmp_path / "wiki.xml"
    path.write_bytes(b"".join([header, *pages, b"</mediawiki>"]))
    source = Wikipedia(str(path), max_bad=20 * count)
    records = list(source)
    whole = [record["text"] for record in records if int(record["meta"]["id"]) >= 10**9]
    assert whole == [f"Whole {number}." for number in range(9, count, 10)]
    assert count // 8 < len(records) - len(whole) < count and source._bad > count // 10


def test_mutated_files(header: bytes, real_pages: list[bytes], tmp_path: Path) -> None:
    """A damaged file is refused; if not, it gives every record."""
    path = tmp_path / "wiki.xml.bz2"
    short = [page for page in real_pages if len(page) < 9_000]
    path.write_bytes(bz2.compress(b"".join([header, *short, b"</mediawiki>"])))
    intact, expected, rng = path.read_bytes(), list(Wikipedia(str(path))), random.Random(0)
    refused = 0
    for _ in range(60):
        content = bytearray(intact)
        at = rng.randrange(len(content))
        if rng.random() < 0.5:
            content[at] ^= 1 << rng.randrange(8)
        else:
            del content[at : at + rng.choice([1, 100, len(content)])]
        path.write_bytes(content)
        try:
            assert list(Wikipedia(str(path))) == expected
        except UserError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 50
