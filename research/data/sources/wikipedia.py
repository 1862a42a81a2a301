"""Wikipedia, and every other wiki of MediaWiki, from the dumps that Wikimedia publishes."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from research.data.sources.files import BROKEN, FileSource, open_bytes
from research.data.sources.source import Record
from research.data.sources.wikitext import HIDDEN, is_disambiguation, to_text
from research.errors import UserError

BLOCK = 1 << 20  # bytes read at once
LONGEST = 1 << 26  # bytes of a page; MediaWiki takes 2 MiB of text
END = b"</page>"
HEADER = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<mediawiki[^>]*>\s*(?:<siteinfo>.*?</siteinfo>)?", re.DOTALL)
HIDING = re.compile(r'<namespace key="(?:6|14|-2)"[^>]*>([^<]+)<')  # the names of files, categories and media
FIELDS = ("title", "ns", "id", "revision/timestamp", "revision/text")
INTEGER = re.compile(r"-?[0-9]{1,18}")


class Wikipedia(FileSource):
    """A record for each article of a `pages-articles` dump, with its markup made plain text.

    One line of the text is a paragraph, a heading or an item of a list. `meta` holds `title`, `id` and the
    `timestamp` of the revision; `where` is the file and the id, as in `dump.xml.bz2:page 12`. Redirects and pages
    without prose are passed over. Dumps of all languages are read; the file itself says what its wiki calls files
    and categories. Reading is streaming, through one or many bz2 streams. Page XML that cannot be parsed is a bad
    record, told by its byte in the decompressed file; a dump without its end is refused once its pages are read.

    Args:
        namespaces: numbers of the kinds of pages to read; 0 is articles.
        disambiguation: read pages that only list the meanings of their title, too.
        min_characters: pages with less text are passed over.
    """

    endings = (".xml",)

    def __init__(
        self,
        paths: str | list[str],
        namespaces: tuple[int, ...] = (0,),
        disambiguation: bool = False,
        min_characters: int = 1,
        max_bad: int = 0,
    ):
        super().__init__(paths, max_bad=max_bad)
        if not namespaces:
            raise UserError("namespaces: the list is empty; articles are 0")
        if min_characters < 1:
            raise UserError(f"min_characters is {min_characters}; it must be at least 1")
        self.namespaces = tuple(namespaces)
        self.disambiguation = disambiguation
        self.min_characters = min_characters

    def read(self, path: Path) -> Iterator[Record]:
        if find_spec("mwparserfromhell") is None:
            raise UserError("Wikipedia needs the extra: pip install 'hybrid-fine-tuning[wikipedia]'")
        hidden = set(HIDDEN)
        for offset, piece in _pieces(path):
            start = 0
            if offset == 0 and (header := HEADER.match(piece)):
                hidden.update(name.lower() for name in HIDING.findall(header[0].decode(errors="replace")))
                start = header.end()
            begin = max(piece.rfind(b"<page>"), start)
            if before := piece[start:begin].strip():  # a page without its end
                self.bad(UserError(f"{path}:{offset + start}: not a whole page: {before[:40]!r}"))
            try:
                record = self._record(path, piece[begin:].lstrip(), hidden)
            except _BadPage as error:
                self.bad(UserError(f"{path}:{offset + begin}: {error}"))
                continue
            if record:
                yield record

    def _record(self, path: Path, page: bytes, hidden: set[str]) -> Record | None:
        try:
            element = ElementTree.fromstring(page)  # noqa: S314  it begins with <page>: no entity can be declared
        except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter for an unknown encoding
            raise _BadPage(f"not XML: {error} of the page") from error
        found = [element.findtext(name) for name in FIELDS]
        for name, value in zip(FIELDS, found, strict=True):
            if value is None:
                raise _BadPage(f"page {found[0]!r} has no <{name}>")
        title, namespace, number, timestamp, markup = map(str, found)
        if not (INTEGER.fullmatch(namespace) and INTEGER.fullmatch(number)):
            raise _BadPage(f"page {title!r}: ns and id must be numbers, not {namespace!r} and {number!r}")
        if int(namespace) not in self.namespaces or element.find("redirect") is not None:
            return None
        if not self.disambiguation and is_disambiguation(markup):
            return None
        try:
            text = to_text(markup, hidden)
        except Exception as error:  # whatever a stranger's parser raises
            raise _BadPage(f"page {title!r} cannot be parsed: {type(error).__name__}: {error}") from error
        if len(text) < self.min_characters:
            return None
        return {
            "text": text,
            "where": f"{path}:page {number}",
            "meta": {"title": title, "id": int(number), "timestamp": timestamp},
        }


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where a piece starts in the decompressed file, and its bytes: a page, after all that stands before it."""
    offset, buffer = 0, bytearray()
    try:
        with open_bytes(path) as stream:
            while block := stream.read(BLOCK):
                begin, searched = 0, max(len(buffer) - len(END), 0)
                buffer += block
                while (end := buffer.find(END, max(begin, searched))) >= 0:
                    end += len(END)
                    yield offset, bytes(buffer[begin:end])
                    offset, begin = offset + end - begin, end
                del buffer[:begin]
                if len(buffer) > LONGEST:
                    raise UserError(f"{path}:{offset}: no end of a page in {LONGEST >> 20} MiB; this is no wiki's dump")
    except BROKEN as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    rest, closed, after = bytes(buffer).rpartition(b"</mediawiki>")
    if not closed or after.strip():
        raise UserError(f"{path}:{offset}: the file ends without </mediawiki>; fetch it again")
    if offset and rest.strip():
        yield offset, rest


class _BadPage(Exception):
    """Why one page cannot be read."""
