"""The records of a WARC file, with what is no record told apart and nothing after it lost."""

import re
from collections.abc import Iterator
from typing import IO

START = re.compile(rb"(?<=\n)WARC/1\.[01]\r\n")
HEADER = re.compile(rb"WARC/1\.[01]\r\n(?:[^\r\n][^\n]*\r\n)+\r\n")
LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,12})[ \t]*\r$")
END = b"\r\n\r\n"
LONGEST_HEADER = 1 << 16
LONGEST = 1 << 28  # bytes of a record; Common Crawl cuts its pages at 5 MiB


class Window:
    """The part of a stream that is looked at: `data` (bytes), which starts at `offset`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.data, self.offset = stream, bytearray(), 0

    def fill(self, size: int) -> bool:
        """Read on until `data` holds `size` bytes, or as many as there are."""
        while len(self.data) < size and (more := self.stream.read(max(size - len(self.data), 1 << 16))):
            self.data += more
        return len(self.data) >= size

    def drop(self, size: int) -> None:
        del self.data[:size]
        self.offset += size


def blocks(stream: IO[bytes]) -> Iterator[tuple[int, bytes, str]]:
    """Offset and bytes of each record of a WARC file (ISO 28500), and "" or why these bytes are no record.

    A record is one where its header, as many bytes as its header says, and two line ends follow each other. After
    anything else the next line that starts a record is looked for, also within what the header laid claim to.
    """
    window = Window(stream)
    while window.fill(1):
        size, fault = _measure(window)
        yield window.offset, bytes(window.data[:size]), fault
        window.drop(size)
        if not fault:
            window.fill(len(END))
            window.drop(len(END) if window.data.startswith(END) else 0)


def _measure(window: Window) -> tuple[int, str]:
    """Bytes of what stands at the start of `window`, and what is wrong with it."""
    window.fill(LONGEST_HEADER)
    header = HEADER.match(window.data)
    if header is None:
        return _to_next(window), "a WARC record is expected here"
    length = LENGTH.search(window.data, 0, header.end())
    if length is None:
        return _to_next(window), "this record's header gives no Content-Length"
    told = int(length[1])
    size = header.end() + told
    if size > LONGEST:
        return _to_next(window), f"Content-Length is {told}; records of more than {LONGEST} bytes are not read"
    if not window.fill(size):
        return _to_next(window), f"Content-Length is {told}, where {len(window.data) - header.end()} bytes follow"
    window.fill(size + len(END))
    if not END.startswith(window.data[size : size + len(END)]):  # the last record may lack its end
        return _to_next(window), f"Content-Length is {told}, which is not where the record ends"
    return size, ""


def _to_next(window: Window) -> int:
    """Bytes up to the next start of a record, the end of the file, or `LONGEST`."""
    seen = 1
    while not (found := START.search(window.data, seen)):
        seen = max(seen, len(window.data) - len(b"WARC/1.0\r\n"))
        if len(window.data) >= LONGEST or not window.fill(len(window.data) + 1):
            return len(window.data)
    return found.start()
