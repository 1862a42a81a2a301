"""Web pages as Common Crawl publishes them."""

import contextlib
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path

from research.data.sources.files import BROKEN, FileSource, open_bytes
from research.data.sources.source import Record
from research.data.sources.warc import blocks
from research.errors import UserError

HTML = ("text/html", "application/xhtml+xml")
LIBRARIES = ("fastwarc", "py3langid", "trafilatura")
DIGESTS = ("sha1:", "sha256:", "md5:")  # those that can be checked


class CommonCrawl(FileSource):
    """A record for each page of WARC files (the main text of its HTML) and of WET files (their text as it is).

    Main text is what trafilatura finds, without tables and readers' comments. `languages` are the ISO 639-1
    codes of those to keep, as py3langid identifies them; without, nothing is identified. Pages that were not
    served (status other than 200), are no HTML, hold no main text or are in another language are counted in the log.
    A record is bad whose length or digest is wrong or whose text cannot be decoded, and so is whatever stands
    between records. `where` is the file and the byte, in the decompressed file, at which the record starts;
    `meta` holds the page's `url`, the `date` of the visit (ISO 8601), and its `language` if identified.

    Needs the extra `crawl`. Main text: Barbaresi 2021, doi:10.18653/v1/2021.acl-demo.15.
    """

    endings = (".warc", ".wet")

    def __init__(self, paths: str | list[str], languages: list[str] | None = None, max_bad: int = 0):
        super().__init__(paths, max_bad=max_bad)
        self.languages = languages
        if languages is not None and not languages:
            raise UserError("languages: the list is empty; name at least one, or leave the setting out")

    def __iter__(self) -> Iterator[Record]:
        self._check()
        return super().__iter__()

    def read(self, path: Path) -> Iterator[Record]:
        offset = 0
        try:
            with open_bytes(path) as stream:
                for offset, block, fault in blocks(stream):
                    where = f"{path}:{offset}"
                    try:
                        found = self._found(where, block, fault)
                    except (OSError, ValueError) as error:  # of fastwarc; UnicodeDecodeError is a ValueError
                        self.bad(UserError(f"{where}: {' '.join(str(error).split())}"))
                        continue
                    if isinstance(found, str):
                        self.skip(found)
                    elif found:
                        yield found
        except BROKEN as error:
            raise UserError(f"{path}:{offset}: cannot be read after the record here: {error}") from error

    def _found(self, where: str, block: bytes, fault: str) -> Record | str | None:
        """A page, why it is passed over, or None where the record is none; `ValueError` or `OSError` if it is bad."""
        from fastwarc.warc import WarcRecord, WarcRecordType

        if fault:
            raise ValueError(fault)
        page = WarcRecord.from_bytes(block)
        digest = page.headers.get("WARC-Block-Digest") or ""
        if digest.startswith(DIGESTS) and not page.verify_block_digest():
            raise ValueError("the record's content does not have the digest that its header gives")
        if page.record_type == WarcRecordType.conversion:
            text = page.reader.read().decode()
        elif page.record_type == WarcRecordType.response:
            page.parse_http(auto_decode="all")
            if page.http_headers is None or page.http_headers.status_code != 200:
                return "pages that were not served"
            if page.http_content_type not in HTML:
                return "pages that are no HTML"
            text = _main_text(page.reader.read(), page.http_charset)
        else:
            return None
        if "\0" in text:
            raise ValueError("a NUL byte in this page's text")
        if not text.strip():
            return "pages without main text"
        meta: dict[str, str | int | float | None] = {
            "url": page.headers.get("WARC-Target-URI"),
            "date": page.headers.get("WARC-Date"),
        }
        if self.languages is not None:
            import py3langid

            language = py3langid.classify(text)[0]
            meta["language"] = language
            if language not in self.languages:
                return "pages in other languages"
        return {"text": text.strip(), "where": where, "meta": meta}

    def _check(self) -> None:
        """That the libraries are here and know the languages."""
        try:
            for name in LIBRARIES:
                importlib.import_module(name)
        except ImportError as error:
            told = f"CommonCrawl needs the extra: pip install 'hybrid-fine-tuning[crawl]' ({error})"
            raise UserError(told) from error
        logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it warns of each page without text
        if self.languages is None:
            return
        import py3langid

        known = sorted(language for language, _ in py3langid.rank(""))
        for language in self.languages:
            if language not in known:
                raise UserError(f"languages: '{language}' is none of {', '.join(known)}")


def _main_text(html: bytes, charset: str | None) -> str:
    import trafilatura

    page: str | bytes = html
    with contextlib.suppress(UnicodeDecodeError, LookupError):  # servers are often wrong
        page = html.decode(charset or "utf-8")
    return trafilatura.extract(page, include_comments=False, include_tables=False) or ""
