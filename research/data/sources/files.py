"""What the sources that read files share: finding them, decoding their lines, and a digest of their bytes."""

import bz2
import codecs
import copy
import gzip
import io
import logging
import lzma
import re
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import IO, ClassVar, Self, cast

import xxhash

from research.data.cache import key
from research.data.sources.far import far_digest, is_far_file, open_far, reaching, refuse_secrets
from research.data.sources.source import Record, Source
from research.errors import UserError

log = logging.getLogger(__name__)

COMPRESSIONS = ("", ".gz", ".bz2", ".xz", ".zst")
UNDECODED = re.compile("[\udc80-\udcff]")  # the surrogates that stand for bytes which could not be decoded
SHOWN = 20  # bad records of a file that are named one by one
LONG_WINDOW = 2**31  # bytes; Reddit's dumps are compressed with `zstd --long=31`
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)  # what torn or unreadable files raise


class FileSource(Source):
    """Records from files, here or far.

    `paths` are files, folders (every file below with one of the class's `endings`, sorted) and globs (`**`
    for any depth, sorted), on this machine or behind a protocol that fsspec knows (`https://`, `s3://`). A server
    that does not answer while a file is read is asked again for half a minute.
    Files that end in .gz, .bz2, .xz or .zst are decompressed while they are read.
    `encoding` is any of Python's; a byte order mark at the start of UTF-8 is skipped.
    `max_bad` records of a file may be bad: each is left out with a warning that names its place; one more
    refuses the file.
    """

    endings: ClassVar[tuple[str, ...]]
    _known: list[str] | None = None  # the files, where they were looked for already

    def __init__(self, paths: str | list[str], encoding: str = "utf-8", max_bad: int = 0):
        if max_bad < 0:
            raise UserError(f"max_bad is {max_bad}; it must be at least 0")
        self.max_bad, self._bad, self._skipped = max_bad, 0, Counter[str]()
        self.paths = [paths] if isinstance(paths, str) else paths
        for given in self.paths:
            if "://" in given:
                refuse_secrets(given)
        try:
            self.encoding = codecs.lookup(encoding).name
        except LookupError as error:
            raise UserError(f"encoding: Python knows none called '{encoding}'") from error

    @abstractmethod
    def read(self, path: Path) -> Iterator[Record]:
        """The records of one file."""

    def __iter__(self) -> Iterator[Record]:
        for path in self.files():
            empty, self._bad, self._skipped = True, 0, Counter()
            for record in self.read(path):
                empty = False
                yield record
            if self._bad:
                log.warning("%s: %d bad records were left out", path, self._bad)
            for reason, count in self._skipped.items():
                log.info("%s: passed over: %d %s", path, count, reason)
            if empty and not self._skipped:
                raise UserError(f"{path}: no records in this file; fill it or leave it out")

    def fingerprint(self) -> str:
        settings = {name: value for name, value in vars(self).items() if name != "paths" and name[0] != "_"}
        return key(type(self).__name__, settings, [_digest(path) for path in self.files()])

    def parts(self) -> list[Self]:
        """A source for each file, in their order."""
        return [self._of(str(path)) for path in self.files()]

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files())

    def _of(self, path: str) -> Self:
        part = copy.copy(self)
        part.paths = part._known = [path]
        return part

    def bad(self, error: UserError) -> None:
        """Leave out a bad record of the file that is being read, or refuse the file by raising `error`."""
        self._bad += 1
        if self._bad > self.max_bad:
            more = f" ({self.max_bad} bad records before it were left out; see max_bad)" if self.max_bad else ""
            raise UserError(f"{error}{more}") from error
        if self._bad <= SHOWN:
            log.warning("left out: %s%s", error, "; further ones are counted" if self._bad == SHOWN else "")

    def skip(self, reason: str) -> None:
        """Count what is passed over on purpose; `reason` is a plural, such as "pages in other languages"."""
        self._skipped[reason] += 1

    def readable(self, where: str, text: str) -> bool:
        """Whether the raw text of a record is text; if not, it is a bad record."""
        if "\0" in text:
            self.bad(UserError(f"{where}: a NUL byte; this is no text, or not {self.encoding}"))
        elif not text.isascii() and UNDECODED.search(text):
            self.bad(UserError(f"{where}: not {self.encoding}"))
        else:
            return True
        return False

    def files(self) -> list[Path]:
        """The files that `paths` stand for, in their order, each once."""
        if self._known is not None:
            return [located(path) for path in self._known]
        found: dict[Path, None] = {}
        for given in self.paths:
            try:
                with reaching(given):
                    matches, missing = self._matches(given)
            except OSError as error:
                raise UserError(f"paths: {given}: cannot be reached: {error}") from error
            if not matches:
                raise UserError(f"paths: {given}: {missing}")
            found.update(dict.fromkeys(matches))
        if not found:
            raise UserError("paths: the list is empty; name at least one file")
        return list(found)

    def _matches(self, given: str) -> tuple[list[Path], str]:
        """Files that one of `paths` stands for, sorted, and what to say if there are none."""
        path = located(given)
        if path.is_dir():
            endings = tuple(one + compression for one in self.endings for compression in COMPRESSIONS)
            matches = [file for file in path.rglob("*") if file.name.endswith(endings)]
            missing = f"no {' or '.join(self.endings)} file below this folder"
        elif has_magic(given) and not path.exists():
            matches, missing = matching(given), "matches no file"
        else:
            matches, missing = [path], "no such file"
        far = "://" in given
        return sorted(file for file in matches if (is_far_file(file) if far else file.is_file())), missing

    def lines(self, path: Path, newline: str | None = None, errors: str = "strict") -> Iterator[tuple[int, str]]:
        """Number, from 1, and text of each line; `newline` and `errors` are those of `open`.

        Where records may be bad, undecodable bytes come as the surrogates that `readable` knows.
        """
        if self.max_bad and errors == "strict":
            errors = "surrogateescape"
        # The mark is no text: left in, it would become a part of the first column's name.
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        number = 0
        try:
            with open_bytes(path) as stream:
                for number, text in enumerate(io.TextIOWrapper(stream, encoding, errors, newline), 1):
                    yield number, text
        except UnicodeDecodeError as error:
            line, byte = _first_undecodable(path, encoding)
            told = f"{path}:{line}: not {self.encoding} at byte {byte} of the file"
            raise UserError(f"{told}; name the file's own `encoding`, say latin-1 or gb18030") from error
        except UnicodeError as error:  # UTF-16 and UTF-32 look for a mark
            raise UserError(f"{path}: not {self.encoding} ({error}); name the file's own `encoding`") from error
        except BROKEN as error:
            where = f"{path}: cannot be read" + (f" after line {number}" if number else "")
            raise UserError(f"{where}: {error}") from error


def located(given: str) -> Path:
    """A path of this machine, or a `UPath`, which behaves like one."""
    if "://" not in given:
        return Path(given).expanduser()
    from upath import UPath

    try:
        return cast(Path, UPath(given))
    except (ValueError, ImportError) as error:
        raise UserError(f"paths: {given}: {error}") from error


def matching(pattern: str) -> list[Path]:
    """The files that a pattern with `*`, `?`, `[]` or `**` stands for."""
    if "://" not in pattern:
        return [Path(name) for name in glob(str(Path(pattern).expanduser()), recursive=True)]
    import fsspec

    system, below = fsspec.core.url_to_fs(pattern)
    return [located(system.unstrip_protocol(name)) for name in system.glob(below)]


def open_raw(path: Path) -> IO[bytes]:
    """A file's bytes as they are."""
    if "://" in str(path):
        return open_far(path)
    return path.open("rb")


def open_bytes(path: Path) -> IO[bytes]:
    """A file's bytes, decompressed while they are read. A torn one raises one of `BROKEN` at its end."""
    raw = open_raw(path)
    match path.suffix:
        case ".gz":
            return cast(IO[bytes], gzip.open(raw))
        case ".bz2":
            return bz2.open(raw)
        case ".xz":
            return lzma.open(raw)
        case ".zst":
            return io.BufferedReader(ZstdReader(raw), 1 << 20)
    return raw


class ZstdReader(io.RawIOBase):
    """All frames of a zstd file, whatever their window. Unlike the library's reader it knows a torn file."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self.raw, self.ready, self.fed = raw, memoryview(b""), b""
        self.fault = zstandard.ZstdError
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=LONG_WINDOW)
        self.frame = self.decompressor.decompressobj()
        self.inside = False  # a frame has begun and not ended

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        while not self.ready:
            self.fed = self.fed or self.raw.read(1 << 17)
            if not self.fed:
                if self.inside:
                    raise EOFError("compressed file ended before the end-of-stream marker was reached")
                return 0
            try:
                self.ready = memoryview(self.frame.decompress(self.fed))
            except self.fault as error:
                raise OSError(str(error)) from error
            self.inside = not self.frame.eof
            self.fed = b""
            if self.frame.eof:
                self.fed, self.frame = self.frame.unused_data, self.decompressor.decompressobj()
        n = min(len(buffer), len(self.ready))
        buffer[:n] = self.ready[:n]
        self.ready = self.ready[n:]
        return n

    def close(self) -> None:
        self.raw.close()
        super().close()


def _digest(path: Path) -> str:
    """Of the bytes; of a far file, which reading would mean to fetch, what its server says of its version."""
    digest = xxhash.xxh3_128()
    try:
        if "://" in str(path):
            return far_digest(path)
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return digest.hexdigest()


def _first_undecodable(path: Path, encoding: str) -> tuple[int, int]:
    """Line, from 1, and byte, from 0, of the first thing in a file that `encoding` cannot decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = read = 0
    with open_bytes(path) as stream:
        while True:
            chunk = stream.read(1 << 16)
            read += len(chunk)
            try:
                lines += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                # error.object also holds what the decoder kept of the chunk before
                before = error.object[: error.start].count(b"\n")
                return lines + before + 1, read - len(error.object) + error.start
