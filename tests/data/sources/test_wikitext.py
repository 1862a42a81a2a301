"""Markup made plain: cases worked out by hand from what MediaWiki shows, and whole pages beside the full parser."""

import bz2
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("mwparserfromhell")

from research.data.sources.wikitext import is_disambiguation, to_text

CASES = {
    "styles": ("'''Bold''', ''italic'' and '''''both'''''; l''''homme'''", "Bold, italic and both; l'homme"),
    "links": ("A [[bus]]es [[ship|the ship]] [[:Category:Cats|cats]] [[#Use]]", "A buses the ship cats #Use"),
    "files": ("[[File:A.jpg|thumb|A [[cat|big cat]] of {{a|b}} [http://x y]]]Text [[Bild:B.png|x]]", "Text"),
    "categories": ("Text\n[[Category:Cats| ]]\n[[de:Katze]]\n[[wikt:cat|cat]]", "Text\ncat"),
    "templates": ("{{Infobox\n| a = {{b|{c}}}\n| d = {{{e|}}}\n}}\nText{{cn}}.", "Text."),
    "templates in templates": ("{{a\nb {{c|{{d}}}} e\n}}Text", "Text"),
    "templates that are read": (
        "{{lang|la|ars}}, {{nowrap|[[a|b]] c}} {{convert|5|to|6|km|mi}} {{convert|5|km|mi}}",
        "ars, b c 5 to 6 km 5 km",
    ),
    "references": (
        'One<ref name="a/b">{{cite}} [[x]]</ref>, two<ref name=a />, three<REF >y</ref >.',
        "One, two, three.",
    ),
    "a reference not closed": ("One<ref>two. Three<ref>x</ref>", "One"),
    "references not closed": ("One <ref>two <ref name=x>three", "One two three"),
    "comments": ("One<!-- {{ <ref> -->, two<!-- three", "One, two"),
    "verbatim": ("<nowiki>[[a|b]] '''c''' {{d}}</nowiki> <pre>&lt;x&gt;</pre>", "[[a|b]] '''c''' {{d}} <x>"),
    "formulas": (r"Let <math>\frac{{a}}{b}</math> be <math>}}</math>x<sub>1</sub><sup>2</sup>", "Let be x1^2"),
    "tables": ("One\n{| class=x\n! a\n| b\n:{|\n| c\n|}\n| d\n|}\nTwo", "One\nTwo"),
    "a table not closed": ("One\n{| class=x\n|-\n| b || c\n! d\n\nTwo", "One\nTwo"),
    "external links": ("[http://a.b c d], [https://e], http://f.g [sic]", "c d, , http://f.g [sic]"),
    "lists": ("* one\n** two\n# three\n; four\n: five\n----", "one\ntwo\nthree\nfour\nfive"),
    "headings": ("a\n== b ==\n=== c ===\nd\n== e ==\n=== f ===\n{{reflist}}\n== g ==\nh", "a\nb\nc\nd\ng\nh"),
    "entities": ("a&nbsp;b &amp;lt; c&thinsp;d &#x1F600; &lt;ref&gt;", "a b &lt; c d 😀 <ref>"),
    "what stays of brackets": ("A ({{IPA|x}}; {{lang-el|ἀ}}) and ({{IPA|x}}) b（{{IPA|x}}，）丙", "A (ἀ) and b丙"),
    "tags": ('<div class="x">a<br/>b <big>c</big></div> 1 < 2 <unknown>', "a\nb c 1 < 2 <unknown>"),
    "switches": ("__NOTOC__\nText", "Text"),
    "Chinese variants": ("-{zh-hans:计算机; zh-hant:電腦}-是-{A|机器}--{H|zh-cn:甲;zh-tw:乙}-。", "计算机是机器。"),
    "unbalanced": ("a}} b]] c\n{{d\n| e = f\n[[g|h {{i]] j", "a}} b]] c\nh {{i j"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    markup, text = CASES[name]
    assert to_text(markup) == text


def test_names_of_another_wiki() -> None:
    markup = "[[檔案:A|縮圖|甲]]乙[[分類:丙]]"
    assert to_text(markup, {"檔案", "分類"}) == "乙"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("{{disambiguation|geo}}", True),
        ("{{Hndis|Smith}}", True),
        ("{{Airport disambiguation}}", True),
        ("__DISAMBIG__", True),
        ("{{Begriffsklärung}}", True),
        ("{{消歧义}}", True),
        ("{{Неоднозначность|тип=город}}", True),
        ("[[Ada]]{{disambiguation needed|date=May}}", False),
        ("{{other uses|Ada (disambiguation)}}", False),
        ("{{Redirect|A|the dab}}", False),
    ],
)
def test_disambiguation(markup: str, expected: bool) -> None:
    assert is_disambiguation(markup) is expected


def test_the_whole_parser_reads_the_same_words(shared: Path) -> None:
    """On real pages without tables, what is cut before the parser is what it would have left out."""
    import mwparserfromhell

    (dump,) = (shared / "enwiki").glob("*.bz2")
    with bz2.open(dump) as stream:
        pages = ElementTree.parse(stream).iterfind(".//{*}text")
    markups = [page.text for page in pages if page.text and "{|" not in page.text and 1_000 < len(page.text) < 9_000]
    ours, theirs = Counter[str](), Counter[str]()
    for markup in markups:
        code = mwparserfromhell.parse(markup)
        for reference in code.filter_tags(recursive=False, matches=lambda node: node.tag == "ref"):
            code.remove(reference)
        ours.update(to_text(markup).split())
        theirs.update(code.strip_code().split())
    assert len(markups) > 12
    assert (ours & theirs).total() > 0.97 * ours.total()
    assert (ours & theirs).total() > 0.90 * theirs.total()  # captions, categories and empty headings are theirs
