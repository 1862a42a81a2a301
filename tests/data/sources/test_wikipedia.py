"""Wikipedia on a real dump, beside two other readers; broken and torn dumps."""

import bz2
import logging
import re
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("mwparserfromhell")

from research.data.sources import Wikipedia
from research.errors import UserError

HEADER = b"""<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="de">
  <siteinfo><namespaces><namespace key="0" case="first-letter" />
    <namespace key="6" case="first-letter">Datei</namespace>
    <namespace key="14" case="first-letter">Kategorie</namespace></namespaces></siteinfo>
"""
DISAMBIGUATION = "Alien, Austin (disambiguation), Ada, Aberdeen (disambiguation), Argument (disambiguation)"
FIRST = {
    "Algorithms (journal)": "Algorithms is a peer-reviewed open access mathematics journal concerning design, ",
    "Andorra": "Andorra, officially the Principality of Andorra (Principat d'Andorra), also called the Principality of "
    "the Valleys of Andorra (Principat de les Valls d'Andorra), is a sovereign landlocked microstate in Southwestern "
    "Europe, located in the eastern Pyrenees mountains and bordered by Spain and France.",
    "Anarchism": "Anarchism is a political philosophy that advocates self-governed societies based on voluntary "
    "institutions. These are often described as stateless societies, although several authors",
}


def page(number: int, text: str, extra: str = "", namespace: int = 0) -> bytes:
    return f"""  <page>
    <title>T{number}</title><ns>{namespace}</ns><id>{number}</id>{extra}
    <revision><id>9</id><timestamp>2024-05-01T00:00:00Z</timestamp>
      <text xml:space="preserve">{text}</text></revision>
  </page>
""".encode()


@pytest.fixture
def dump(tmp_path: Path) -> Callable[..., Path]:
    """A dump of these pages in a file: ``dump(page(1, "a"), page(2, "b"))``."""

    def dump(*pages: bytes, name: str = "wiki.xml", end: bytes = b"</mediawiki>\n") -> Path:
        path, content = tmp_path / name, b"".join([HEADER, *pages, end])
        path.write_bytes(bz2.compress(content) if name.endswith("bz2") else content)
        return path

    return dump


@pytest.fixture(scope="module")
def enwiki(shared: Path) -> Path:
    (path,) = (shared / "enwiki").glob("*.xml.bz2")
    return path


@pytest.fixture(scope="module")
def articles(enwiki: Path) -> dict[str, str]:
    return {str(record["meta"]["title"]): record["text"] for record in Wikipedia(str(enwiki), disambiguation=True)}


@pytest.fixture(scope="module")
def real_pages(enwiki: Path) -> list[bytes]:
    return re.findall(rb"  <page>.*?</page>\n", bz2.decompress(enwiki.read_bytes()), re.DOTALL)


def test_records_of_a_real_dump(enwiki: Path) -> None:
    with bz2.open(enwiki) as stream:
        pages = [page for page in ElementTree.parse(stream).iterfind("{*}page") if page.findtext("{*}ns") == "0"]
    redirects = [page for page in pages if page.find("{*}redirect") is not None]
    assert (len(pages), len(redirects)) == (205, 99)
    listed = {*DISAMBIGUATION.split(", "), "Animal (disambiguation)", "Asia Minor (disambiguation)", "Aa River"}
    expected = [
        (
            f"{enwiki}:page {page.findtext('{*}id')}",
            page.findtext("{*}title"),
            page.findtext("{*}revision/{*}timestamp"),
        )
        for page in pages
        if page not in redirects and page.findtext("{*}title") not in listed
    ]
    records = list(Wikipedia(str(enwiki)))
    assert [(record["where"], record["meta"]["title"], record["meta"]["timestamp"]) for record in records] == expected
    assert len(records) == 98


def test_texts_of_a_real_dump(articles: dict[str, str]) -> None:
    for title, first in FIRST.items():
        assert articles[title].startswith(first)
    assert "\nHistory\nOrigins\nThe earliest anarchist themes can be found in the 6th" in articles["Anarchism"]
    text = "\n".join(articles.values())
    for markup in ("{{", "}}", "[[", "]]", "<ref", "{|", "|}", "||", "''", "&nbsp;", "\xa0", "\n\n", "  "):
        assert markup not in text, markup
    assert not re.search(
        r"\.jpe?g|\bthumb\||^(?:File|Image|Category):|^=.*=$|^[|!*#]", text, re.MULTILINE | re.IGNORECASE
    )


def test_another_reader_keeps_the_same_articles_and_words(enwiki: Path, articles: dict[str, str]) -> None:
    """gensim keeps the rows of tables and the captions of files; of one page it loses all after an odd brace."""
    wikicorpus = pytest.importorskip("gensim.corpora.wikicorpus")
    ours, theirs = Counter[str](), Counter[str]()
    with bz2.open(enwiki) as stream:
        for title, markup, _ in wikicorpus.extract_pages(stream, ["0"]):
            words = wikicorpus.tokenize(wikicorpus.filter_wiki(markup))
            assert (len(words) >= wikicorpus.ARTICLE_MIN_WORDS) == (title in articles), title
            if title in articles and title != "Asphalt" and len(markup) < 60_000:
                ours.update(wikicorpus.tokenize(articles[title]))
                theirs.update(words)
    common = (ours & theirs).total()
    assert common > 100_000
    assert common > 0.98 * ours.total() and common > 0.92 * theirs.total()


def test_plain_and_many_streams(dump: Callable[..., Path], tmp_path: Path) -> None:
    pages = [page(number, f"Text {number}") for number in range(1, 6)]
    (tmp_path / "many.xml.bz2").write_bytes(b"".join(map(bz2.compress, [HEADER, *pages, b"</mediawiki>"])))
    found = [
        [(record["text"], record["meta"]) for record in Wikipedia(str(path))]
        for path in (dump(*pages), dump(*pages, name="one.xml.bz2"), tmp_path / "many.xml.bz2")
    ]
    assert found[0] == found[1] == found[2]
    assert [text for text, _ in found[0]] == [f"Text {number}" for number in range(1, 6)]
    assert len(Wikipedia(str(tmp_path)).parts()) == 3


def test_what_is_passed_over(dump: Callable[..., Path]) -> None:
    path = dump(
        page(1, "[[Datei:A.png|mini|Bild]]Eins[[Kategorie:Zahl]]"),
        page(2, "#WEITERLEITUNG [[Eins]]", extra='<redirect title="Eins" />'),
        page(3, "Ada ist\n* ein Name\n{{Begriffsklärung}}"),
        page(4, "Vorlage", namespace=10),
        page(5, "{{Leer}}"),
        page(6, ""),
        page(7, "Sieben ist eine Zahl."),
    )

    def found(**given) -> list[str]:
        return [record["text"] for record in Wikipedia(str(path), **given)]

    assert found() == ["Eins", "Sieben ist eine Zahl."]
    assert found(min_characters=5) == ["Sieben ist eine Zahl."]
    assert found(namespaces=(10,)) == ["Vorlage"]
    assert found(disambiguation=True) == ["Eins", "Ada ist\nein Name", "Sieben ist eine Zahl."]


def test_memory_does_not_grow_with_the_file(dump: Callable[..., Path]) -> None:
    def peak(times: int) -> int:
        path = dump(*(page(number, "Vorlage " * 5_000, namespace=10) for number in range(times)), page(0, "Text"))
        tracemalloc.start()
        assert len(list(Wikipedia(str(path)))) == 1
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(800) < 1.3 * peak(100)  # 32 and 4 MB


BAD = {
    "a control byte": (page(2, "a\x01b"), r"not XML: .*invalid token"),
    "a NUL byte": (page(2, "a\0b"), r"not XML: .*invalid token"),
    "not UTF-8": (page(2, "a").replace(b">a<", b">\xff<"), r"not XML: .*invalid token"),
    "an unknown entity": (page(2, "&nbsp;"), r"not XML: undefined entity"),
    "an unknown encoding": (
        b"<?xml version='1.0' encoding='x'?>" + page(2, "a").strip().replace(b"<page>", b"<pag>"),
        r"not XML: unknown encoding",
    ),
    "a tag not closed": (page(2, "a").replace(b"</text>", b""), r"not XML: mismatched tag"),
    "no text": (page(2, "a").replace(b"text", b"taxt"), r"page 'T2' has no <revision/text>"),
    "no id": (page(2, "a").replace(b"<id>2</id>", b""), r"page 'T2' has no <id>"),
    "no number": (
        page(2, "a").replace(b"<id>2", b"<id>two"),
        r"page 'T2': ns and id must be numbers, not '0' and 'two'",
    ),
    "no end": (page(2, "a").replace(b"</page>", b"</pag>"), r"not (a whole page: b'<page>|XML: mismatched tag)"),
    "no beginning": (page(2, "a").replace(b"<page>", b"<pag>"), r"not XML: mismatched tag"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_page_is_left_out_by_its_place(name: str, place: int, dump, caplog: pytest.LogCaptureFixture) -> None:
    bad, told = BAD[name]
    pages = [page(1, "eins"), page(3, "drei")]
    pages.insert(place, bad)
    path = dump(*pages)
    with pytest.raises(UserError, match=rf"wiki\.xml:\d+: {told}") as caught:
        list(Wikipedia(str(path)))
    assert "\n" not in str(caught.value)
    offset = int(str(caught.value).removeprefix(f"{path}:").split(":")[0])
    assert path.read_bytes()[offset:].lstrip().startswith(bad.strip()[:12])
    with caplog.at_level(logging.WARNING):
        assert [record["text"] for record in Wikipedia(str(path), max_bad=1)] == ["eins", "drei"]
    assert str(caught.value) in caplog.text and "1 bad records were left out" in caplog.text


@pytest.mark.parametrize("left", [0.2, 0.7, 0.999])
def test_torn_files_are_refused(enwiki: Path, tmp_path: Path, real_pages: list[bytes], left: float) -> None:
    packed, plain = tmp_path / "torn.xml.bz2", tmp_path / "torn.xml"
    content = HEADER + b"".join(real_pages[:12]) + b"</mediawiki>"
    for path, whole in ((packed, bz2.compress(content)), (plain, content)):
        path.write_bytes(whole[: int(left * len(whole))])
        with pytest.raises(UserError, match=rf"{path.name}.*(cannot be read|the file ends without </mediawiki>)"):
            list(Wikipedia(str(path)))
    packed.write_bytes(bz2.compress(HEADER + real_pages[1]) + bz2.compress(real_pages[3] + b"</mediawiki>")[:-30])
    records = iter(Wikipedia(str(packed)))
    with pytest.raises(UserError):  # the second stream is broken, and one block of it was all
        list(records)


def test_what_is_no_dump(dump: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("")
    with pytest.raises(UserError, match=r"a\.xml:0: the file ends without </mediawiki>"):
        list(Wikipedia(str(tmp_path / "a.xml")))
    with pytest.raises(UserError, match=r"wiki\.xml: no records in this file"):
        list(Wikipedia(str(dump())))
    (tmp_path / "b.xml").write_bytes(b"x" * (1 << 26) + b"y")
    with pytest.raises(UserError, match=r"b\.xml:0: no end of a page in 64 MiB"):
        list(Wikipedia(str(tmp_path / "b.xml")))


def test_settings_are_checked(tmp_path: Path, dump, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="namespaces: the list is empty"):
        Wikipedia("a", namespaces=())
    with pytest.raises(UserError, match="min_characters is 0"):
        Wikipedia("a", min_characters=0)
    path = str(dump(page(1, "a")))
    prints = [Wikipedia(path, **given).fingerprint() for given in ({}, {"min_characters": 2}, {"namespaces": (0, 4)})]
    assert len(set(prints)) == 3
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[wikipedia\]'"):
        list(Wikipedia(path))
